"""Which products a scheme is about: all, some categories, or single products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sim.core.config import Section
from sim.core.units import Count

if TYPE_CHECKING:
    from sim.catalog import Products

Array = npt.NDArray[Any]


class CategoryScope(Section):
    """Products of some categories."""

    category: list[Count] = Field(min_length=1, description="numbers of categories")


class ProductScope(Section):
    """Some products."""

    products: list[Count] = Field(min_length=1, description="numbers of products")


Scope = Literal["all"] | CategoryScope | ProductScope


def in_scope(scope: Scope, products: Products, scheme: str) -> Array:
    """Return a mask of the products in a scope, shape (products,).

    Parameters
    ----------
    scope : Scope
    products : Products
    scheme : str
        Whose scope it is, for the message.

    Raises
    ------
    ValueError
        If the scope names a category or product that the catalogue does not have.
    """
    known = len(products)
    if isinstance(scope, CategoryScope):
        if missing := set(scope.category) - set(products.category.tolist()):
            raise ValueError(f"{scheme}: scope names category {min(missing)}, of which there is no product")
        return np.isin(products.category, scope.category)
    if isinstance(scope, ProductScope):
        if max(scope.products) >= known:
            raise ValueError(f"{scheme}: scope names product {max(scope.products)}, but there are {known}")
        return np.isin(np.arange(known), scope.products)
    return np.ones(known, bool)
