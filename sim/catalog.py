"""What there is to buy: merchants' products, their prices, costs and stock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core.table import Column, Table, column

if TYPE_CHECKING:
    from sim.demand import Demand
    from sim.scenario.schema import CatalogConfig

Array = npt.NDArray[Any]
PLENTY = np.int64(1) << 40  # stock of a product that never runs out


class Products(Table):
    """Products; money in fen a unit."""

    merchant: Column = column(np.int32)
    category: Column = column(np.int32)
    topic: Column = column(np.float32, width=1)  # unit vector in taste space
    quality: Column = column(np.float32)  # logits, how much more it is wanted than the average at its price
    price: Column = column(np.int64)  # list price now
    start_price: Column = column(np.int64)
    cost: Column = column(np.int64)
    stock: Column = column(np.int64)
    set_aside: Column = column(np.int64)  # part of the stock kept for schemes
    coming: Column = column(np.int64)  # reordered, not yet arrived
    sold: Column = column(np.int64)  # units, in all, refunds taken off
    views: Column = column(np.int64)  # times shown in a slate
    short: Column = column(np.int64)  # orders refused for want of stock


def build(config: CatalogConfig, demand: Demand, dimensions: int, rng: np.random.Generator) -> Products:
    """Generate a catalogue.

    Parameters
    ----------
    config : CatalogConfig
    demand : Demand
        Price distribution where the config names none.
    dimensions : int
        Of the taste space.
    rng : numpy.random.Generator
        Seeded by the run; arms with the same seed and catalogue get the same products.

    Returns
    -------
    Products

    Notes
    -----
    Products cluster by category: a topic is the category's centre plus noise of half its length, scaled to unit
    length, so
    that the taste match of a standard normal person is standard normal. Margins are Beta with the stated mean and
    precision 20.
    """
    count = config.products
    products = Products(count, topic=dimensions)
    centres = rng.standard_normal((config.categories, dimensions))
    products.category[:] = rng.integers(config.categories, size=count)
    products.merchant[:] = rng.integers(config.merchants, size=count)
    topic = centres[products.category] + 0.5 * rng.standard_normal((count, dimensions))
    products.topic[:] = topic / np.linalg.norm(topic, axis=1, keepdims=True)
    products.quality[:] = config.quality * rng.standard_normal(count)
    median, sigma = (config.price.median, config.price.sigma) if config.price else demand.price
    products.price[:] = np.maximum(10, np.rint(median * np.exp(sigma * rng.standard_normal(count)) / 10) * 10)
    products.start_price[:] = products.price
    precision = 20.0
    if 0 < config.margin < 1:
        margin = rng.beta(config.margin * precision, (1 - config.margin) * precision, count)
    else:
        margin = np.full(count, config.margin)
    products.cost[:] = np.rint(products.price * (1 - margin))
    products.stock[:] = PLENTY if config.stock.initial is None else config.stock.initial
    return products
