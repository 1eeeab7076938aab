"""What a scenario file may say about the network, and how it comes to be (`build`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from sim.core.config import Section, assume
from sim.core.edge_list import read_degrees
from sim.core.generators import (
    barabasi_albert,
    complete,
    configuration,
    degree_corrected_block,
    erdos_renyi,
    power_law_cluster,
    stochastic_block,
    watts_strogatz,
)
from sim.core.graph import Graph
from sim.core.likeness import like
from sim.core.units import FilePath, Share

DEFAULT_PERSONS = 10_000
_MEAN_DEGREE = "sympathy group, 12 to 20 persons (Zhou, Sornette, Hill & Dunbar 2005)"
_WITHIN = "87% of ties are within one of 18 countries (LastFM Asia, Rozemberczki & Sarkar 2020)"
MeanDegree = Annotated[float, Field(gt=0, le=10_000)]


class NetworkSection(Protocol):
    """What every kind of network can do."""

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return a network of so many persons; None means as many as the kind says itself, or the default."""


class EdgeListFile(Section):
    """Ties from a csv or csv.gz file with the header source,target or source,target,weight."""

    kind: Literal["edge_list"]
    file: FilePath
    """The file. With people.size other than its number of persons, the network is generated like it."""
    directed: bool = False
    """Whether messages travel from source to target only."""

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return the file's network, or one like it if the number of persons differs."""
        graph = Graph.read(self.file, self.directed)
        return graph if persons in (None, graph.persons) else like(graph, persons, rng)


class ErdosRenyi(Section):
    """Every pair is equally likely to be tied."""

    kind: Literal["erdos_renyi"]
    mean_degree: MeanDegree = assume(12.0, source=_MEAN_DEGREE, unit="ties a person")

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`erdos_renyi`."""
        return erdos_renyi(persons or DEFAULT_PERSONS, self.mean_degree, rng)


class BarabasiAlbert(Section):
    """Growth by preferential attachment: few hubs with very many ties."""

    kind: Literal["barabasi_albert"]
    mean_degree: MeanDegree = assume(12.0, source=_MEAN_DEGREE, unit="ties a person")

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`barabasi_albert`."""
        return barabasi_albert(persons or DEFAULT_PERSONS, self.mean_degree, rng)


class WattsStrogatz(Section):
    """A small world: a ring of neighbours with some ties led elsewhere."""

    kind: Literal["watts_strogatz"]
    mean_degree: Annotated[int, Field(ge=2, le=10_000, multiple_of=2)] = assume(
        12, source=_MEAN_DEGREE, unit="ties a person, an even number"
    )
    rewire: Share = assume(0.1, source="small-world regime (Watts & Strogatz 1998)", unit="ties led elsewhere")

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`watts_strogatz`."""
        return watts_strogatz(persons or DEFAULT_PERSONS, self.mean_degree, self.rewire, rng)


class PowerLawCluster(Section):
    """Growth by preferential attachment with triangles (Holme & Kim)."""

    kind: Literal["power_law_cluster"]
    mean_degree: MeanDegree = assume(12.0, source=_MEAN_DEGREE, unit="ties a person")
    clustering: Annotated[float, Field(ge=0, le=1)] = assume(
        0.2, source="0.22 in LastFM Asia (Rozemberczki & Sarkar 2020)", unit="mean local clustering coefficient"
    )

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`power_law_cluster`."""
        return power_law_cluster(persons or DEFAULT_PERSONS, self.mean_degree, self.clustering, rng)


class StochasticBlock(Section):
    """Communities of equal size; members differ by chance only."""

    kind: Literal["stochastic_block"]
    communities: Annotated[int, Field(ge=1, le=1000)] = assume(18, source=_WITHIN)
    mean_degree: MeanDegree = assume(12.0, source=_MEAN_DEGREE, unit="ties a person")
    within: Share = assume(0.87, source=_WITHIN, unit="ties inside communities")

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`stochastic_block`."""
        return stochastic_block(persons or DEFAULT_PERSONS, self.communities, self.mean_degree, self.within, rng)


class DegreeCorrectedBlock(Section):
    """Communities of equal size; members' degrees have the log-normal tail of real networks of friends."""

    kind: Literal["degree_corrected_block"]
    communities: Annotated[int, Field(ge=1, le=100_000)] = assume(18, source=_WITHIN)
    mean_degree: MeanDegree = assume(12.0, source=_MEAN_DEGREE, unit="ties a person")
    within: Share = assume(0.87, source=_WITHIN, unit="ties inside communities")
    degree_sigma: Annotated[float, Field(ge=0, le=3)] = assume(
        1.07, source="LastFM Asia (Rozemberczki & Sarkar 2020)", unit="standard deviation of the logarithm of degrees"
    )

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`degree_corrected_block`."""
        return degree_corrected_block(
            persons or DEFAULT_PERSONS, self.communities, self.mean_degree, self.within, self.degree_sigma, rng
        )


class Configuration(Section):
    """Random ties, given how many each person has."""

    kind: Literal["configuration"]
    degrees: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)] | None = None
    """One number of ties a person; give these or file."""
    file: FilePath | None = None
    """A csv file with the header degree and a line for each person."""

    @model_validator(mode="after")
    def _one_source(self) -> Configuration:
        if (self.degrees is None) == (self.file is None):
            raise ValueError("give either degrees (a list of numbers) or file")
        return self

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`configuration`."""
        degrees: Any = read_degrees(self.file) if self.file is not None else self.degrees
        return configuration(degrees, persons, rng)


class Complete(Section):
    """Everyone knows everyone: full mixing."""

    kind: Literal["complete"]

    def generate(self, persons: int | None, rng: np.random.Generator) -> Graph:
        """Return :func:`complete`; nothing is drawn."""
        return complete(persons or DEFAULT_PERSONS)


NetworkConfig = Annotated[
    EdgeListFile
    | ErdosRenyi
    | BarabasiAlbert
    | WattsStrogatz
    | PowerLawCluster
    | StochasticBlock
    | DegreeCorrectedBlock
    | Configuration
    | Complete,
    Field(discriminator="kind"),
]


def build(config: NetworkSection, persons: int | None, rng: np.random.Generator) -> Graph:
    """Return the network that a scenario asks for.

    Parameters
    ----------
    config : NetworkSection
        One of the kinds of `NetworkConfig`.
    persons : int or None
        How many there are. None: as many as the file or the list of degrees has, else 10000.
    rng : numpy.random.Generator
        Everything random about the network comes from it.

    Raises
    ------
    ValueError
        If there is no such network, or the file is not right.
    OSError
        If the file cannot be read.
    """
    graph = config.generate(persons, rng)
    asked: float | None = getattr(config, "mean_degree", None)
    if asked is not None and abs((mean := graph.degree.mean()) - asked) > 0.02 * asked:
        graph.notes.append(f"mean degree is {mean:.4g}; {asked:g} was asked for")
    return graph
