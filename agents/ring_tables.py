"""What rings keep: devices, accounts, and groups of accounts that play a plan together."""

from __future__ import annotations

import numpy as np

from agents.hiding import Facet
from sim.core.table import Column, Table, column
from sim.offers import NONE


class Devices(Table):
    """Devices of all rings, one row each; the platform sees row r as device ``persons + r``.

    Of the addresses beyond those of honest people, even ones are devices', odd ones single accounts'.
    """

    ring: Column = column(np.int32)
    address: Column = column(np.int32)
    takes: Column = column(np.int32)  # accounts that the ring believes it takes


class Accounts(Table):
    """Accounts that one ring has opened, or tried to; ``person`` ascends."""

    person: Column = column(np.int32)
    device: Column = column(np.int32)  # row of Devices
    group: Column = column(np.int32)  # row of Groups
    product: Column = column(np.int32, fill=NONE)  # what it is to order first, -1: nothing
    inviter: Column = column(np.int32, fill=NONE)  # row of this table
    invited: Column = column(np.int32)  # accounts that it has invited
    serves: Column = column(np.bool_)  # it only invites, and may do so for further groups
    signs_up: Column = column(np.int32)  # tick
    asked: Column = column(np.bool_)  # whether beliefs know if it was let in
    orders: Column = column(np.int32)  # tick of the first order, or of the sign-up if there is none
    hidden: Column = column(np.bool_, width=len(Facet))
    looks_around: Column = column(np.float64)  # chance that an honest person drawn like it comes in a tick


class Groups(Table):
    """Groups of accounts that play a plan together; fen."""

    plan: Column = column(np.int32)  # index of the ring's plans
    root: Column = column(np.int32)  # the account that is the plan's first, a row of Accounts
    bonus: Column = column(np.float64)  # promised by the rules
    discount: Column = column(np.float64)
    over: Column = column(np.int32)  # first tick in which all that it does is done
    judged: Column = column(np.bool_)  # whether beliefs know what became of it
    had: Column = column(np.float64)  # rewards and discounts that they know of
