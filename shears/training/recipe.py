"""How weights are trained."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Recipe:
    """How weights are trained; config.yaml says what each field means."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    warmup_epochs: float
    beta_1: float
    beta_2: float
    epsilon: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    dropout: tuple[float, float, float]
    flip: bool
    crop: int
    distillation: float
    temperature: float
    averaging: float
    normalise: bool
    batch_norm: bool

    def __post_init__(self) -> None:
        """Makes whole numbers floats where fractions are meant: TensorFlow minds."""
        for field in fields(self):
            if field.type is float:
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
