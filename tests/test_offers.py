"""Options that schemes add stand in the same columns whether room was made for them or not."""

import numpy as np
import pytest

from sim.offers import Mode, Offers, Source, Visits

PRICE = np.array([500, 900, 1_200])
SLATES = np.array([[0, 2], [1, -1]], np.int32)


def some_offers(room: int) -> Offers:
    visits = Visits.of(np.array([4, 7], np.int32), Source.OWN)
    visits.quantity[:] = [1, 3]
    return Offers.solo(visits, SLATES, PRICE, room)


@pytest.mark.parametrize("room", [0, 1, 2, 5])
def test_options_are_added_beside_the_slate(room):
    offers = some_offers(room)
    more = np.array([[1], [2]], np.int32)
    columns = offers.add(more, Mode.JOIN_TEAM, np.array([[8], [9]]), PRICE[more], np.float32(0.5))
    assert columns == slice(2, 3)
    offers.widen(1)
    assert (offers.slate, offers.width) == (2, 4)
    assert offers.product[:, :4].tolist() == [[0, 2, 1, -1], [1, -1, 2, -1]]
    assert offers.worth[:, :4].tolist() == [[500, 1_200, 900, 0], [2_700, 0, 1_200, 0]]
    assert (offers.pay == offers.worth).all()
    assert offers.mode[:, :4].tolist() == [[0, 0, Mode.JOIN_TEAM, 0]] * 2
    assert offers.ref[:, :4].tolist() == [[-1, -1, 8, -1], [-1, -1, 9, -1]]
    assert offers.appeal[:, :4].tolist() == [[0, 0, 0.5, 0]] * 2
    assert (offers.product[:, 4:] == -1).all()  # room that nobody took


def test_what_is_taken_off_keeps_its_place_when_columns_are_added():
    offers = some_offers(0)
    offers.take_off(1, np.full((2, 2), 600))
    assert offers.pay.tolist() == [[0, 600], [2_100, 0]]
    offers.widen(2)
    assert offers.discount(1).tolist() == [[500, 600, 0, 0], [600, 0, 0, 0]]
    assert offers.pay[:, :2].tolist() == [[0, 600], [2_100, 0]]
