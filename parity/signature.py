"""signature = edge|first stage|cause or -|ulp class|count class: what makes two divergences the same one."""

from dataclasses import dataclass, replace

from parity.record import STAGES, EdgeRecord, StageDiff

# The stage of a pair that parted before any stage: one lane raised where it should have run, or the other way round.
RAISE = "raise"

# A class that does not apply (nothing was compared), and the cause nobody has found yet.
NONE = "-"

ULP_CLASSES = ("0", "1", "2-7", "8-127", "128-32767", ">=32768", "nan", "dtype", "shape")
COUNT_CLASSES = ("one", "<1%", "<10%", "<50%", "most", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The five parts of a signature; str() writes the text and parse reads it back. Raises ValueError."""

    edge: str
    first_stage: str
    cause: str
    ulp_class: str
    count_class: str

    def __post_init__(self) -> None:
        for part in (self.edge, self.first_stage, self.cause):
            if "|" in part:
                raise ValueError(f"a signature's parts are joined by |, so {part!r} cannot be one of them")
        if self.first_stage not in (*STAGES, RAISE):
            raise ValueError(
                f"{self.first_stage!r} is not a stage; a divergence starts at {RAISE!r} or one of {STAGES}"
            )
        if self.ulp_class not in (*ULP_CLASSES, NONE):
            raise ValueError(f"{self.ulp_class!r} is not an ulp class; they are {ULP_CLASSES}")
        if self.count_class not in (*COUNT_CLASSES, NONE):
            raise ValueError(f"{self.count_class!r} is not a count class; they are {COUNT_CLASSES}")

    def __str__(self) -> str:
        return "|".join((self.edge, self.first_stage, self.cause or NONE, self.ulp_class, self.count_class))

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """parse(str(signature)) = signature. Raises ValueError when the text has other than five parts."""
        parts = text.split("|")
        if len(parts) != 5:
            raise ValueError(f"{text!r} has {len(parts)} parts between bars; a signature has 5")
        edge, first_stage, cause, ulp_class, count_class = parts
        return cls(
            edge=edge,
            first_stage=first_stage,
            cause="" if cause == NONE else cause,
            ulp_class=ulp_class,
            count_class=count_class,
        )


def ulp_class(diff: StageDiff) -> str:
    """The class of the stage's largest ulp distance; another shape, dtype or one-sided NaN outranks a distance.

    "0" is a difference in bits that no ulp measures: -0.0 against 0.0, or two payloads of NaN.
    """
    if diff.shape_a != diff.shape_b:
        return "shape"
    if not diff.histogram:
        return "dtype"
    if diff.max_ulp is None or diff.histogram[-1]:
        return "nan"
    ulp = diff.max_ulp
    bounds = ((1, "0"), (2, "1"), (8, "2-7"), (128, "8-127"), (32768, "128-32767"))
    return next((name for below, name in bounds if ulp < below), ">=32768")


def count_class(diff: StageDiff) -> str:
    """The class of n_different / n_total; "all" outranks "one" where the stage has one element."""
    different, total = diff.n_different, diff.n_total
    if different == total:
        return "all"
    if different == 1:
        return "one"
    bounds = ((1, "<1%"), (10, "<10%"), (50, "<50%"))
    return next((name for percent, name in bounds if 100 * different < percent * total), "most")


def signature_of(edge: str, diff: StageDiff, cause: str = "") -> Signature:
    """The signature of a divergence that starts at the stage of `diff`."""
    return Signature(
        edge=edge, first_stage=diff.stage, cause=cause, ulp_class=ulp_class(diff), count_class=count_class(diff)
    )


def raised_signature(edge: str, cause: str = "") -> Signature:
    """The signature of a pair that parted by raising: there is no stage to measure."""
    return Signature(edge=edge, first_stage=RAISE, cause=cause, ulp_class=NONE, count_class=NONE)


def with_cause(record: EdgeRecord, cause: str) -> EdgeRecord:
    """The same record with its cause known, in field and signature. Raises ValueError for one without a signature."""
    signature = replace(Signature.parse(record.signature), cause=cause)
    return replace(record, cause=cause, signature=str(signature))
