"""Reading audio files as they come: headers are hints, the data decides.

`sources` gives the bytes of anything that can be read; `riff`, `flac`, `mpeg` and `ogg` find where the audio lies in
them; `libsndfile` and `pyav` decode it; `opening` picks.
"""
