"""Only the pictures that the chosen frames need are decoded: groups without a chosen frame and side pictures are not.

Exact by construction, and used only where the file proves it (else `read` gives None and everything is decoded):
mp4 with H.264, no edit list, as many packets as the video is known to have frames, a time stamp on every packet, and
every group closed: it starts with an IDR picture (nothing after it leans on anything before it), and all its time
stamps lie before those of the next group. A picture whose NAL units all say `nal_ref_idc = 0` is used by no other
(ITU-T H.264, 7.4.1), so it is left out unless it was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.video import _read, _stacked
from secondlook.video.clip import Clip, Size

_SLICES = range(1, 6)
_IDR = 5


def read(path: Path, index_T: npt.NDArray[np.int64], size: Size, frame_count: int) -> Clip | None:
    """The frames at these indices, decoding as little as that takes; None where this cannot be done exactly."""
    with _read.open_container(path) as container:
        stream = _read.video_stream(container)
        context: Any = stream.codec_context
        if not (_read.is_mov(container) and context.name == "h264" and stream.frames == frame_count):
            return None
        if _read.header_count(container, stream) != frame_count:
            return None
        length_bytes = _nal_length_bytes(bytes(context.extradata or b""))
        if not length_bytes or stream.time_base is None:
            return None
        wanted = np.unique(index_T)
        found = _Found(container, size, len(wanted), length_bytes)
        start, first_pts = 0, None
        try:
            for group in _closed_groups(container, stream, length_bytes):
                pts_in_order = sorted(packet.pts for packet in group)
                first_pts = pts_in_order[0] if first_pts is None else first_pts
                here = wanted[(wanted >= start) & (wanted < start + len(group))] - start
                found.take(context, group, [pts_in_order[i] for i in here])
                start += len(group)
                if start > wanted[-1]:
                    break
            found.take(context, [None], [])
        except (_NotClosed, *_read.ERRORS):
            return None
        if found.converter is None or found.pts != found.wanted_pts or len(found.pts) != len(wanted):
            return None
        assert first_pts is not None
        place_T = np.searchsorted(wanted, index_T)
        time_s = (np.array(found.pts, np.float64) - first_pts) * float(stream.time_base)
        return Clip(
            found.rgb_THWC if np.array_equal(wanted, index_T) else found.rgb_THWC[place_T],
            index_T,
            time_s[place_T],
            frame_count,
            found.converter.source_height,
            found.converter.source_width,
            _read.header_rate(stream),
        )


class _NotClosed(Exception):  # noqa: N818
    """The file does not prove that its groups of pictures stand alone."""


def _closed_groups(container: Any, stream: Any, length_bytes: int) -> Iterator[list[Any]]:
    """Packets from one key frame to the next, each group shown to need no other."""
    group: list[Any] = []
    latest_pts: int | None = None
    for packet in container.demux(stream):
        at_end = packet.size == 0
        if not at_end and (packet.pts is None or packet.is_discard or packet.is_corrupt):
            raise _NotClosed
        if (at_end or packet.is_keyframe) and group:
            pts = [p.pts for p in group]
            if not _kind(group[0], length_bytes)[1] or min(pts) != pts[0] or len(set(pts)) < len(pts):
                raise _NotClosed
            if latest_pts is not None and pts[0] <= latest_pts:
                raise _NotClosed
            latest_pts = max(pts)
            yield group
            group = []
        if not at_end:
            group.append(packet)


class _Found:
    """Frames found so far, in order of time.

    The decoder is never flushed between groups: the IDR picture that starts one makes it hand out all before.
    """

    def __init__(self, container: Any, size: Size, room: int, length_bytes: int) -> None:
        self.container, self.size, self.room, self.length_bytes = container, size, room, length_bytes
        self.converter: _read.Converter | None = None
        self.wanted_pts: list[int] = []
        self.pts: list[int] = []
        self.rgb_THWC = np.zeros((0, 0, 0, 3), np.uint8)

    def take(self, context: Any, group: list[Any], wanted_pts: list[int]) -> None:
        """Decodes one group as far as its wanted frames need; a group of None makes the decoder hand out the rest."""
        wanted = set(wanted_pts)
        self.wanted_pts += wanted_pts
        last = max((i for i, packet in enumerate(group) if packet is None or packet.pts in wanted), default=-1)
        for packet in group[: last + 1]:
            if packet is None or packet.pts in wanted or _kind(packet, self.length_bytes)[0]:
                for frame in context.decode(packet):
                    if len(self.pts) < len(self.wanted_pts) and frame.pts == self.wanted_pts[len(self.pts)]:
                        self._keep(frame)

    def _keep(self, frame: Any) -> None:
        if self.converter is None:
            self.converter = _stacked.converter_of(self.container, frame, self.size)
            self.rgb_THWC = np.empty((self.room, self.converter.height, self.converter.width, 3), np.uint8)
        self.rgb_THWC[len(self.pts)] = self.converter(frame)
        self.pts.append(frame.pts)


def _nal_length_bytes(extradata: bytes) -> int:
    """Bytes of a NAL unit's length in an mp4 packet (avcC box); 0 where the stream is not stored so."""
    return (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0


def _kind(packet: Any, length_bytes: int) -> tuple[bool, bool]:
    """Whether other pictures may lean on this one, and whether it is an IDR picture. In doubt: yes and no."""
    data = memoryview(packet)
    at, leaned_on, idr, slices = 0, False, False, 0
    while at + length_bytes < len(data):
        length = int.from_bytes(data[at : at + length_bytes], "big")
        header = data[at + length_bytes]
        if header & 31 in _SLICES:
            slices += 1
            leaned_on = leaned_on or bool(header & 0x60)
            idr = idr or header & 31 == _IDR
        at += length_bytes + length
    return leaned_on or not slices or at != len(data), idr
