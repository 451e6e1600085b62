"""From a training run to the model file of the native engine."""

from __future__ import annotations

from pathlib import Path

from secousti_native.convert import ConversionReport, convert_checkpoint, fold
from secousti_native.reference.config import CodecConfig, LayerCounts
from secousti_native.training.start import BEST, load_run


def export(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    dtype: str = "float16",
    acoustic: bool = True,
    checkpoint: str = BEST,
) -> ConversionReport:
    """Writes the averaged weights of ``run`` as a model file: normalisation, batch norm and so on folded away.

    Modules that the run did not train keep the bits of the model file it began with.
    ``checkpoint`` is "best.pt" or "state.pt" (the newest). Without ``acoustic`` the acoustic branch, which tokens do
    not need, is left out. The file says no default precision, whatever the training began with: what these weights
    lose at bf16 or int8 has not been measured (docs/guide/precision.md). Raises `ConfigError` for a folder without
    weights, `ConversionError` for weights that are not finite.
    """
    codec, state = load_run(run, checkpoint)
    config = codec.config.replace(default_precision=CodecConfig.default_precision)
    if not acoustic:
        layers = config.layers
        config = config.replace(layers=LayerCounts(0, layers.semantic, layers.connector, layers.decoder))
    tensors = fold(codec.folded().state_dict()) | state.get("kept", {})
    return convert_checkpoint(tensors, out, dtype=dtype, config=config, name=name or config.name)
