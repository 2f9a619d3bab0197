"""Which trainer `training.objective` names: the same in the agent's process and in the training process."""

from seal_agent.config import TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.protocols import Trainer
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import SealTrainer


def chosen(model: LocalModel, settings: TrainingSettings) -> Trainer:
    if settings.objective in ("seal", "passage"):
        return SealTrainer(model, settings)
    return LoraTrainer(model, settings)
