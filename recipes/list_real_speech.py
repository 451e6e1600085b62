"""Lists the real speech behind the default models in a manifest, out of Debian packages.

    apt-get install asterisk-core-sounds-{fr,it,ru}-g722 ffmpeg
    apt-get download fillets-ng-data-cs fillets-ng-data-nl klettres-data hedgewars-data
    for package in *.deb; do dpkg -x "$package" unpacked; done
    python recipes/list_real_speech.py unpacked -o real.jsonl

Sources: ``real`` (telephone prompts in French, Italian and Russian; a game in Czech and Dutch), ``syllables``
(letters and syllables in many languages), ``games`` (short shouts of 13 voices, for validation only).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from secousti_native.training.corpus import CorpusError, Utterance, audio_seconds, write_manifest

SYNTHETIC_VOICES = ("Robot", "Singer")  # of hedgewars: no plain speech
UNHEARD_LANGUAGES = ("en", "en_GB", "es")  # stay for tests


def utterances(
    files: Iterable[Path], speaker: str, source: str, shortest: float, longest: float
) -> Iterator[Utterance]:
    for path in sorted(files):
        try:
            seconds = audio_seconds(path)
        except (OSError, RuntimeError) as error:
            raise CorpusError(f"{path}: {error}") from None
        if shortest <= seconds <= longest:
            name = "-".join(path.with_suffix("").parts[-3:])
            yield Utterance(f"{speaker}/{name}", str(path.resolve()), 0.0, seconds, speaker, source)


def real_speech(unpacked: Path, asterisk: Path) -> Iterator[Utterance]:
    games = unpacked / "usr/share/games"
    for language in ("cs", "nl"):
        files = [p for p in games.glob("fillets-ng/sound/**/*.ogg") if p.parent.name == language]
        yield from utterances(files, f"fillets-{language}", "real", 1.0, 25.0)
    for language in ("fr", "it", "ru"):
        files = [p for folder in asterisk.glob(f"{language}_*_?_*") for p in folder.rglob("*.g722")]
        yield from utterances(files, f"asterisk-{language}", "real", 1.0, 25.0)
    for voice in sorted(games.glob("hedgewars/Data/Sounds/voices/*")):
        if voice.name not in SYNTHETIC_VOICES:
            yield from utterances(voice.rglob("*.ogg"), f"hedgewars-{voice.name}", "games", 1.0, 25.0)
    for folder in sorted((unpacked / "usr/share/klettres").glob("*")):
        if folder.name not in UNHEARD_LANGUAGES:
            yield from utterances(folder.rglob("*.ogg"), f"klettres-{folder.name}", "syllables", 0.8, 10.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unpacked", type=Path, help="where the packages were unpacked")
    parser.add_argument("--asterisk", type=Path, default=Path("/usr/share/asterisk/sounds"))
    parser.add_argument("--out", "-o", type=Path, required=True)
    options = parser.parse_args()
    listed = list(real_speech(options.unpacked, options.asterisk))
    hours: dict[str, float] = {}
    for utterance in listed:
        hours[utterance.speaker] = hours.get(utterance.speaker, 0.0) + utterance.seconds / 3600
    for speaker, length in sorted(hours.items()):
        print(f"{speaker}: {60 * length:.1f} min")
    print(f"{options.out}: {write_manifest(options.out, listed)} utterances, {sum(hours.values()):.2f} h")


if __name__ == "__main__":
    main()
