"""Lists the real speech behind the default models in a manifest, out of Debian packages.

    apt-get install ffmpeg
    apt-get download asterisk-core-sounds-{fr,it,ru}-g722 fillets-ng-data-{cs,nl} klettres-data hedgewars-data \
        tuxpaint-stamps-default festvox-ru ktuberling-data gcin-voice
    for package in *.deb; do dpkg -x "$package" unpacked; done
    python recipes/list_real_speech.py unpacked -o real.jsonl

Sources: ``real`` (telephone prompts in French, Italian and Russian; a game in Czech and Dutch), ``stamps`` (names of
pictures in a dozen languages), ``reader`` (one reader, Russian), ``toys`` (single words in two dozen languages),
``syllables`` (letters and syllables in many languages, Mandarin among them), ``games`` (short shouts of 13 voices, for
validation only). ``--held-out FILE`` writes the speakers that training must not hear, one a line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from secousti_native.training.corpus import AUDIO_SUFFIXES, CorpusError, Utterance, audio_seconds, write_manifest

SYNTHETIC_VOICES = ("Robot", "Singer")  # of hedgewars: no plain speech
UNHEARD_LANGUAGES = ("en", "en_GB", "es")  # stay for tests
UNHEARD_VOICES = ("af_nicole", "bm_lewis")  # of the synthesiser
UNHEARD_STAMPS = ("el", "ca", "da")
UNHEARD_TOYS = ("uk", "gl", "el", "ca", "da")  # the last three may be the readers of the stamps
COPIES = "@"  # in the name of a folder of toys: the same recordings for another script
READER_KEPT = "ru_0750"  # from here on the reader's sentences are for validation
_STAMP = re.compile(r"_([a-z]{2}(?:_[A-Z]{2})?)$")


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


def stamps(folder: Path) -> Iterator[Utterance]:
    """Names and descriptions of pictures: the language at the end of a file's name is one speaker's."""
    languages: dict[str, list[Path]] = {}
    for path in folder.rglob("*.ogg"):
        if match := _STAMP.search(path.stem):
            languages.setdefault(match[1], []).append(path)
    for language, files in sorted(languages.items()):
        yield from utterances(files, f"tuxpaint-{language}", "stamps", 0.8, 25.0)


def toys(folder: Path) -> Iterator[Utterance]:
    for language in sorted(folder.glob("*")):
        if COPIES not in language.name:
            files = [p for p in language.rglob("*") if p.suffix in AUDIO_SUFFIXES]
            yield from utterances(files, f"ktuberling-{language.name}", "toys", 0.6, 25.0)


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
    share = unpacked / "usr/share"
    yield from utterances((share / "gcin-voice").rglob("*.ogg"), "gcin", "syllables", 0.5, 10.0)
    yield from stamps(share / "tuxpaint/stamps")
    yield from toys(share / "ktuberling/sounds")
    sentences = sorted((share / "festival").rglob("msu_ru_nsh_clunits/wav/*.wav"))
    yield from utterances([p for p in sentences if p.stem < READER_KEPT], "festvox-ru", "reader", 1.0, 25.0)
    yield from utterances([p for p in sentences if p.stem >= READER_KEPT], "festvox-ru-kept", "reader", 1.0, 25.0)


def held_out(speakers: Iterable[str]) -> list[str]:
    """Those of ``speakers`` that only validation hears."""
    chosen = {f"tuxpaint-{name}" for name in UNHEARD_STAMPS} | {f"ktuberling-{name}" for name in UNHEARD_TOYS}
    chosen |= {"festvox-ru-kept", *UNHEARD_VOICES}
    return sorted(s for s in set(speakers) if s in chosen or s.startswith("hedgewars-"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unpacked", type=Path, help="where the packages were unpacked")
    parser.add_argument("--asterisk", type=Path, help="default: unpacked, too")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, help="file for the speakers of validation")
    options = parser.parse_args()
    asterisk = options.asterisk or options.unpacked / "usr/share/asterisk/sounds"
    listed = list(real_speech(options.unpacked, asterisk))
    hours: dict[str, float] = {}
    for utterance in listed:
        hours[utterance.speaker] = hours.get(utterance.speaker, 0.0) + utterance.seconds / 3600
    for speaker, length in sorted(hours.items()):
        print(f"{speaker}: {60 * length:.1f} min")
    if options.held_out:
        unheard = held_out({*hours, *UNHEARD_VOICES})
        options.held_out.write_text("\n".join(unheard) + "\n", encoding="utf8")
    print(f"{options.out}: {write_manifest(options.out, listed)} utterances, {sum(hours.values()):.2f} h")


if __name__ == "__main__":
    main()
