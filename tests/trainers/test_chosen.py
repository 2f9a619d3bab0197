"""Which trainer an objective names."""

import pytest

from seal_agent.config import Objective, TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers.chosen import chosen
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import SealTrainer


@pytest.mark.parametrize(
    ("objective", "trainer"),
    [("masked", LoraTrainer), ("distilled", LoraTrainer), ("mixed", LoraTrainer), ("seal", SealTrainer), ("passage", SealTrainer)],
)
def test_the_objective_chooses_the_trainer(objective: Objective, trainer: type, chat_model: LocalModel) -> None:
    assert type(chosen(chat_model, TrainingSettings(objective=objective))) is trainer
