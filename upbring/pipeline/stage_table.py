"""The stages of a recipe that do not train, by the name of their method."""

from collections.abc import Mapping
from types import MappingProxyType

from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.commands.toyworld import ToyworldSettings
from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.schema import Settings

OTHER_STAGES: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "toyworld": ToyworldSettings,
        "collect": CollectSettings,
        "constitution": ConstitutionSettings,
        "best-of-n": BestOfNSettings,
        "teacher": TeacherSettings,
        "harden": HardenSettings,
    }
)
