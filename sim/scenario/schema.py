"""The scenario file, section by section.

Every key has a type with a unit, bounds, a default and where the default comes from. Schemes and networks declare
their own sections beside their code (``sim/schemes``, ``sim/core/networks.py``); those of fraud and risk control are in
modules of their own, the sections of agents and operations here, because several modules read them.

Inside, money is int fen, durations are hours and rates are per day; see :mod:`sim.core.units` for how files write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from sim.core.config import Section, assume
from sim.core.networks import NetworkConfig, PowerLawCluster
from sim.core.units import Fen, FilePath, Hours, Level, PerDay, PositiveHours, Share
from sim.recommend import registry as recommenders
from sim.scenario.fraud import FraudConfig
from sim.scenario.risk import RiskConfig
from sim.scenario.shocks import AnyShock
from sim.schemes import SchemeConfig, registry

ASSUMED = "assumption"


class Spread(Section):
    """A trait that differs between persons: log-normal with this mean."""

    mean: float = Field(ge=0, le=100)
    sigma: float = Field(0.3, ge=0, le=4, description="standard deviation of the logarithm")


class Seeds(Section):
    """Persons who are invited by the shop itself and sign up in the first tick."""

    persons: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="row numbers; give these or count")
    count: int | None = Field(None, ge=1, le=1_000_000)
    by: Literal["degree", "random", "betweenness"] = Field("degree", description="with count: who comes first")

    @model_validator(mode="after")
    def _one_way_of_choosing(self) -> Seeds:
        if (self.persons is None) == (self.count is None):
            raise ValueError("give either persons (a list of numbers) or count")
        return self


class SharedAddresses(Section):
    """Addresses that many people use: dormitories, offices, parcel stations."""

    share: Share = assume(0.5, source=ASSUMED, unit="persons who use one")
    size: Annotated[int, Field(ge=2, le=100_000)] = assume(100, source=ASSUMED, unit="persons at each, mean")


class DealProneness(Section):
    """Bargain hunters: people who come for the deal, look through what qualifies and take what stacks."""

    share: Share = assume(
        0.0,
        source="none unless the scenario says so, as their strength is a guess; 19% of US households bought 81% of all "
        "that was bought with manufacturers' coupons (Nielsen Homescan, first half of 2009)",
        unit="deal-prone persons",
    )
    strength: Annotated[float, Field(ge=0, le=100)] = assume(
        8.0,
        source=ASSUMED,
        unit="logits for the whole list price taken off, beside what that saves (transaction utility, Thaler 1985)",
    )
    pull: Annotated[float, Field(ge=0, le=100)] = assume(
        1.0, source=ASSUMED, unit="times as much as others a promised gift draws them to click and sign up"
    )
    browsing: Share = assume(
        0.5, source=ASSUMED, unit="of the places of their slate, filled with goods that just reach a coupon's threshold"
    )
    reluctance: Annotated[float, Field(ge=0, le=10)] = assume(
        0.0,
        source="none, so that purchases without schemes are those of the logs that demand is fitted to",
        unit="logits by which they are less ready than others to buy on a visit at list prices",
    )


class PeopleConfig(Section):
    """Who there is, how they are tied, and what they are like."""

    size: int | None = Field(
        None, ge=1, le=5_000_000, description="persons; default: those of the network file, or 10000"
    )
    network: NetworkConfig = PowerLawCluster(kind="power_law_cluster", mean_degree=12, clustering=0.2)
    members_at_start: Share = assume(0.2, source=ASSUMED, unit="share of persons")
    tenure: Hours = assume(26 * 168.0, source=ASSUMED, unit="members at start joined at most so long ago, uniformly")
    seeds: Seeds | None = Field(None, description="persons whom the shop itself invites, who sign up in the first tick")
    homophily: Annotated[float, Field(ge=0, le=0.9)] = assume(
        0.3,
        source="assumption; likeness along ties is the rule (McPherson et al. 2001)",
        unit="correlation of tastes along ties",
    )
    taste_dimensions: Annotated[int, Field(ge=1, le=32)] = assume(
        8, source=ASSUMED, unit="of the space of tastes and topics"
    )
    taste_weight: Annotated[float, Field(ge=0, le=5)] = assume(0.8, source=ASSUMED, unit="logits, standard deviation")
    price_sensitivity: Spread = assume(
        Spread(mean=2.62, sigma=0.3),
        source="mean price elasticity of 1851 brand estimates, Bijmolt, van Heerde & Pieters 2005",
        unit="elasticity at small shares",
    )
    deal_proneness: DealProneness = DealProneness()
    conformity: Spread = assume(
        Spread(mean=0.5, sigma=0.5),
        source="between none and ln 2.69 per trusted buyer (Ciao, homophily not removed)",
        unit="logits per ln(1 + friends who bought)",
    )
    trust: Spread = assume(Spread(mean=0.5, sigma=0.3), source=ASSUMED, unit="trust in friends' word, capped at 1")
    reference_memory: Share = assume(
        0.05,
        source="exponential smoothing of prices seen (Briesch et al. 1997 find slow adaptation)",
        unit="weight of one visit",
    )
    hassle: Spread = assume(Spread(mean=0.6, sigma=0.5), source=ASSUMED, unit="logits lost by waiting for a team")
    way_noise: Annotated[float, Field(ge=0, le=10)] = assume(
        0.5, source=ASSUMED, unit="logits; scale of a person's whim between ways of buying the same product"
    )
    spare_worth: Share = assume(
        0.5,
        source=ASSUMED,
        unit="of its list price, what a further unit is worth on average to who came for fewer; 0: nobody fills up a "
        "basket to reach a coupon's threshold",
    )
    shared_devices: Share = assume(
        0.06, source=ASSUMED, unit="persons who use the device and address of another, who has one", le=0.5
    )
    shared_payments: Share = assume(
        0.03, source=ASSUMED, unit="persons who pay from the account of another, who has one", le=0.5
    )
    shared_addresses: SharedAddresses = SharedAddresses()


class GammaRate(Section):
    """Purchase rates differ between persons by a Gamma distribution (NBD)."""

    shape: float = Field(gt=0, le=100, description="of the Gamma distribution; small: few buy most")
    mean: float = Field(gt=0, le=50, description="purchases a customer-week while active")


class BetaDropout(Section):
    """After each repeat purchase a customer leaves for good with a probability that is Beta distributed (BG/NBD)."""

    a: float = Field(gt=0, le=1000)
    b: float = Field(gt=0, le=1000)


class DemandConfig(Section):
    """How often people buy when nobody pushes them. What is not said is taken from the profile."""

    profile: Literal["media", "grocery"] | FilePath = Field(
        "media", description="media, grocery, or a file like scenarios/profiles/media.yaml"
    )
    rate: GammaRate | None = Field(None, description="default: the profile's")
    dropout: BetaDropout | Literal["none"] | None = Field(
        None, description="default: the profile's; none: nobody leaves"
    )
    units: float | None = Field(None, ge=1, le=100, description="mean units an order; default: the profile's")
    conversion: Share | None = Field(
        None, ge=1e-6, le=1 - 1e-6, description="orders a visit, without schemes; default: the profile's"
    )


class PriceConfig(Section):
    """List prices: log-normal."""

    median: Fen = Field(description="of a unit")
    sigma: float = Field(0.8, ge=0, le=3, description="standard deviation of the logarithm")


class StockConfig(Section):
    """What merchants keep and how they reorder: weekly up to the cover of the last weeks' sales."""

    initial: int | None = Field(None, ge=0, le=100_000_000, description="units of each product; default: never short")
    cover: Hours = assume(28 * 24.0, source=ASSUMED, unit="sales that a reorder covers")
    lead_time: Hours = assume(72.0, source=ASSUMED, unit="from a reorder to its arrival")


class CatalogConfig(Section):
    """What there is to buy."""

    merchants: int = Field(20, ge=1, le=10_000, description="number of merchants")
    products: int = Field(500, ge=1, le=100_000, description="number of products")
    categories: int = Field(10, ge=1, le=1000, description="number of categories, around which tastes cluster")
    price: PriceConfig | None = Field(None, description="default: so that baskets are like the demand profile's")
    margin: Share = assume(0.25, source=ASSUMED, unit="(price - cost) / price, mean over products")
    quality: Annotated[float, Field(ge=0, le=5)] = assume(
        0.5, source=ASSUMED, unit="logits, standard deviation over products"
    )
    take_rate: Share = assume(0.05, source=ASSUMED, unit="platform's commission on the list price")
    stock: StockConfig = StockConfig()


class ClickConfig(Section):
    """How a recipient responds to one exposure: a logit, each term in logits."""

    base: Share = assume(0.05, source=ASSUMED, unit="click probability of a first exposure from an average tie")
    strength: Annotated[float, Field(ge=-5, le=5)] = assume(
        1.0,
        source="personalised messages work better (Aral & Walker 2011)",
        unit="logits from weakest to strongest tie",
    )
    trust: Annotated[float, Field(ge=-5, le=5)] = assume(1.0, source=ASSUMED, unit="logits from no trust to full trust")
    relevance: Annotated[float, Field(ge=-5, le=5)] = assume(
        0.4, source=ASSUMED, unit="logits a standard deviation of taste match"
    )
    fatigue: Annotated[float, Field(ge=0, le=5)] = assume(
        0.5,
        source="repeated recommendations help little, then hurt (Leskovec, Adamic & Huberman 2007)",
        unit="logits lost per ln(1 + recent exposures)",
    )
    invitation: Annotated[float, Field(ge=-5, le=5)] = assume(
        0.68,
        source="ln 1.98: personal invitations raised adoption by 98% over passive messages (Aral & Walker 2011)",
        unit="logits for being invited to the shop",
    )
    team_call: Annotated[float, Field(ge=-5, le=10)] = assume(
        2.5, source="calibrated; see friend_appeal of group_buy", unit="logits for being called to join a friend's team"
    )
    gift: Annotated[float, Field(ge=0, le=5)] = assume(
        0.25, source=ASSUMED, unit="logits per ln(1 + yuan promised); of signing up too"
    )


class SharingConfig(Section):
    """Who tells whom about the shop, and what comes of it."""

    word_of_mouth: PerDay = assume(0.01, source=ASSUMED, unit="unprompted shares a member-day, mean")
    per_visit: Share = assume(0.01, source=ASSUMED, unit="chance that a visit without order ends in a share")
    after_order: Share = assume(0.04, source=ASSUMED, unit="chance that an order ends in a share")
    team: Share = assume(
        0.9, source=ASSUMED, unit="chance that who needs friends to complete a team or a red packet calls them"
    )
    on_sign_up: Share = assume(0.05, source=ASSUMED, unit="chance that signing up ends in a share")
    activity_sigma: Annotated[float, Field(ge=0, le=5)] = assume(
        1.5,
        source="between nothing and 3.0, where 1% of members send 75% (van Mierlo 2014)",
        unit="log-sd of members' inclination to share",
    )
    audience: Annotated[int, Field(ge=1, le=100_000)] | Literal["all"] = assume(
        5, source=ASSUMED, unit="friends told by a share, mean"
    )
    team_audience: Annotated[int, Field(ge=1, le=100_000)] | Literal["all"] = assume(
        15, source=ASSUMED, unit="friends told by a call to join a team, mean; such calls go to chat groups"
    )
    cooldown: Hours = assume(24.0, source=ASSUMED, unit="a member shares at most once in")
    reward_weight: Annotated[float, Field(ge=0, le=5)] = assume(
        0.5, source=ASSUMED, unit="logits per ln(1 + yuan expected)"
    )
    social_cost: Spread = assume(
        Spread(mean=0.3, sigma=0.5), source=ASSUMED, unit="logits lost per ln(1 + recent own shares)"
    )
    delay: Hours = assume(6.0, source=ASSUMED, unit="mean time until a message is read")
    click: ClickConfig = ClickConfig()
    interest: Annotated[float, Field(ge=0, le=10)] = assume(
        3.45,
        source="who clicks wants it: with endorsement, 10% of those without trust and 50% of those with full trust buy "
        "(a claim)",
        unit="logits for a product clicked on",
    )
    endorsement: Annotated[float, Field(ge=0, le=10)] = assume(
        2.2, source="see interest", unit="logits for a product that a friend recommended, at full trust"
    )
    sign_up: Share = assume(0.25, source=ASSUMED, unit="prospects who click and sign up")
    response: Literal["independent", "threshold"] = Field(
        "independent",
        description="of prospects. independent: each exposure has its own chance of a click; threshold: a prospect "
        "clicks once "
        "the exposures so far, each weighing its tie's part of all their ties' strength, reach a threshold that is "
        "uniform "
        "on (0, 1) (linear threshold model)",
    )
    fatigue_half_life: PositiveHours = assume(168.0, source=ASSUMED, unit="recent exposures and shares fade by half in")
    organic: PerDay = assume(0.0005, source=ASSUMED, unit="sign-ups a prospect-day that no one invited")
    win_back: Share = assume(0.1, source=ASSUMED, unit="click chance of people who left, relative to others")


class AudienceConfig(Section):
    """Followers: log-normal."""

    median: float = assume(5000, source="median views of 7126 streamers: 4840 (Twitch English network)", gt=0, le=1e9)
    sigma: float = assume(
        3.2,
        source="top 1% of streamers hold 80.2%: Phi(sigma - 2.326); their 5.4% partners hold 91.2%, which gives 2.96",
        ge=0,
        le=4,
    )


class KolsConfig(Section):
    """Opinion leaders who post about products to followers beyond their own ties."""

    count: int = Field(0, ge=0, le=10_000, description="number of opinion leaders")
    audience: AudienceConfig = assume(
        AudienceConfig(), source="views of streamers, taken for followers", unit="followers, at most the whole market"
    )
    market: Annotated[float, Field(ge=1, le=2e9)] = assume(
        1_000_000.0, source=ASSUMED, unit="people whom audiences are drawn from; the population is a sample of them"
    )
    affinity: Annotated[float, Field(ge=0, le=0.95)] = assume(
        0.5, source=ASSUMED, unit="correlation of following a KOL with a taste for the KOL's field"
    )
    post_every: PositiveHours = assume(168.0, source=ASSUMED, unit="between posts of one KOL")
    reach: Share = assume(0.15, source=ASSUMED, unit="followers who see a post")
    fee: Fen = assume(
        4000, source=ASSUMED, unit="a post and thousand followers claimed, paid by the product's merchant"
    )
    commission: Share = assume(
        0.1, source=ASSUMED, unit="of what buyers pay through the KOL's link, paid by the merchant"
    )
    click: Share = assume(0.03, source=ASSUMED, unit="click probability for an audience of a thousand")
    decline: Annotated[float, Field(ge=0, le=2)] = assume(
        0.3,
        source="assumption; small influencers persuade more per head (Bakshy et al. 2011)",
        unit="fall of click odds per ln(audience / 1000)",
    )
    endorsement: Annotated[float, Field(ge=0, le=5)] = assume(
        0.4, source=ASSUMED, unit="logits for the endorsed product"
    )
    fake_followers: Share = assume(
        0.1005, source="hand-labelled followers of 975 accounts (SRF)", unit="followers who are not people", lt=1
    )


class MerchantsConfig(Section):
    """How merchants react to their margin."""

    review_every: PositiveHours = assume(168.0, source=ASSUMED, unit="between reviews of prices, budget and stock")
    margin_floor: Share = assume(0.05, source=ASSUMED, unit="below it a merchant stops paying for promotions")
    price_step: Share = assume(
        0.03, source=ASSUMED, unit="price change of one review, up when sales rise or margin is low"
    )
    price_band: Share = assume(0.2, source=ASSUMED, unit="prices stay within this of where they began")
    promotion_budget: Share = assume(
        0.15, source=ASSUMED, unit="of usual sales a review period, for promotions they pay"
    )


if TYPE_CHECKING:
    RecommenderName = str
else:
    RecommenderName = Literal[tuple(recommenders())]


class HybridWeights(Section):
    """Weights of the parts of a hybrid recommender, on scores scaled to unit variance."""

    popularity: float = Field(1.0, ge=0, le=100)
    content: float = Field(0.5, ge=0, le=100)
    collaborative: float = Field(1.0, ge=0, le=100)
    social: float = Field(0.5, ge=0, le=100)

    @model_validator(mode="after")
    def _some_weight(self) -> HybridWeights:
        if self.popularity + self.content + self.collaborative + self.social <= 0:
            raise ValueError("at least one weight must be above zero")
        return self


class RecommendationConfig(Section):
    """What visitors are shown."""

    model: RecommenderName = Field("hybrid", description="one of shopsim's, or one registered as a plug-in")
    slate: int = Field(12, ge=1, le=200, description="products a visit")
    refresh: PositiveHours = assume(168.0, source=ASSUMED, unit="retraining interval")
    explore: Share = assume(0.1, source=ASSUMED, unit="places filled by products drawn at random")
    half_life: PositiveHours = assume(
        1344.0, source=ASSUMED, unit="orders and impressions count half for popularity after"
    )
    click_weight: Share = assume(
        0.2, source=ASSUMED, unit="of an order, that a click on a shared product tells of a taste"
    )
    algorithm: Literal["als", "item_knn"] = Field("als", description="of the collaborative part")
    factors: int = Field(16, ge=1, le=256, description="latent factors of als")
    neighbours: int = Field(50, ge=1, le=1000, description="neighbours of item_knn")
    weights: HybridWeights = HybridWeights()


class StackingConfig(Section):
    """Which schemes combine, and in what order prices fall."""

    order: list[str] = Field(
        ["group_buy", "coupon"], description="kinds; each works on the price that the earlier left"
    )
    combine: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        [["group_buy", "coupon"]], description="pairs of kinds that may fall on one order; others exclude each other"
    )


class OperationsConfig(Section):
    """Fulfilment and returns."""

    capacity: int | None = Field(None, ge=1, le=100_000_000, description="parcels a day; default: never short")
    dispatch_every: PositiveHours = assume(24.0, source=ASSUMED, unit="parcels leave in batches")
    lead_time: Hours = assume(48.0, source=ASSUMED, unit="mean time from dispatch to delivery")
    shipping: Fen = assume(500, source=ASSUMED, unit="a parcel, either way, paid by the merchant")
    return_window: Hours = assume(
        168.0,
        source="seven days without reasons: consumer protection law of the PRC, art. 25",
        unit="from delivery; then an order is final (0h: at once, unless the parcel is refused at the door)",
    )
    return_rate: Share = assume(0.06, source=ASSUMED, unit="parcels returned by a satisfied customer")
    late_after: Hours = assume(96.0, source=ASSUMED, unit="from order; later parcels disappoint")
    disappointment: Share = assume(
        0.15, source=ASSUMED, unit="satisfaction lost by a late parcel, a return or a failed team"
    )
    recovery: Share = assume(0.1, source=ASSUMED, unit="way back to full satisfaction by a parcel in time")
    satisfaction_effect: Annotated[float, Field(ge=0, le=10)] = assume(
        2.0, source=ASSUMED, unit="logits of dropout from full to no satisfaction"
    )


class CampaignConfig(Section):
    """An entry of the campaign calendar."""

    name: str = Field(description="for readers")
    start: Hours = Field(description="since the start of the run")
    end: PositiveHours = Field(description="the same")
    schemes: list[str] = Field([], description="names of schemes that run only within campaigns which list them")
    demand: float = Field(1.0, gt=0, le=100, description="factor on visits while it lasts")

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> CampaignConfig:
        if self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Guardrail(Section):
    """A metric that must stay within bounds, with confidence."""

    metric: str = Field(description="a metric, or name.metric of a scheme that has a name")
    min: Level | None = Field(None, description="at least; give this, max or both")
    max: Level | None = Field(None, description="at most")
    confidence: Share = Field(0.95, gt=0.5, lt=1, description="one-sided, of the mean over replicates")


class RecordConfig(Section):
    """What a run keeps beside its metrics."""

    journal: bool = Field(False, description="every posting of the ledger (journal.parquet)")
    events: bool = Field(False, description="orders, sign-ups and shares one by one (events/)")


def _scheme_union() -> Any:
    configs = tuple(cls.Config for cls in registry().values())
    return Annotated[Union[configs], Field(discriminator="kind")] if len(configs) > 1 else configs[0]  # noqa: UP007


if TYPE_CHECKING:
    SchemeSection = SchemeConfig
else:
    SchemeSection = _scheme_union()


class ScenarioConfig(Section):
    """A scenario, complete."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$", description="what reports call the scenario")
    question: str = Field("", description="what the scenario is to find out, for the report")
    horizon: PositiveHours = Field(
        90 * 24.0, le=10 * 365 * 24.0, description="length of the run, a whole number of ticks"
    )
    tick: PositiveHours = Field(1.0, le=24.0, description="one step of the clock: 1h, 2h, 3h, 4h, 6h, 8h, 12h or 1d")
    people: PeopleConfig = PeopleConfig()
    demand: DemandConfig = DemandConfig()
    catalog: CatalogConfig = CatalogConfig()
    sharing: SharingConfig = SharingConfig()
    kols: KolsConfig = KolsConfig()
    merchants: MerchantsConfig = MerchantsConfig()
    recommendation: RecommendationConfig = RecommendationConfig()
    schemes: list[SchemeSection] = Field([])
    stacking: StackingConfig = StackingConfig()
    operations: OperationsConfig = OperationsConfig()
    calendar: list[CampaignConfig] = Field([])
    fraud: FraudConfig = FraudConfig()
    risk: RiskConfig = RiskConfig()
    shocks: list[AnyShock] = Field([], description="what goes wrong from outside; see sim/shocks.py")
    guardrails: list[Guardrail] = Field([])
    sources: dict[str, str] = Field(
        {}, description="dotted key path: where its value comes from; holds for keys below it too"
    )
    record: RecordConfig = RecordConfig()
