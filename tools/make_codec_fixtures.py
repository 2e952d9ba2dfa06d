"""Draws the images of tests/data/images: one per format, pixel kind and orientation. Needs Pillow and NumPy.

usage: make_codec_fixtures.py OUTPUT_DIRECTORY

NAME.pillow.png is what Pillow makes of NAME. Every upright image has four corners of one colour each: red, green / blue, white. `oN_` files store it turned so that
EXIF orientation N makes it upright again. Files called bad_* must be refused.
"""
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def upright():
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:16, :24] = (255, 0, 0)
    pixels[:16, 24:] = (0, 255, 0)
    pixels[16:, :24] = (0, 0, 255)
    pixels[16:, 24:] = (255, 255, 255)
    return pixels


def textured():
    y, x = np.mgrid[:37, :53]
    noise = np.random.default_rng(7).integers(0, 60, (37, 53, 3))
    return (np.stack([x * 3, y * 4, x + y], axis=2) + noise).clip(0, 255).astype(np.uint8)


# How to store an upright image so that orientation N restores it.
TO_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, before=b"", after=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before +
            png_chunk(b"IDAT", zlib.compress(rows, 9)) + after + png_chunk(b"IEND", b""))


def exif(orientation):
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", orientation) + b"\0\0\0\0\0\0"


def rgb_rows(pixels):
    return b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))


for orientation, to_stored in TO_STORED.items():
    stored = np.ascontiguousarray(to_stored(upright()))
    height, width = stored.shape[:2]
    tag = Image.Exif()
    tag[0x0112] = orientation
    image = Image.fromarray(stored)
    image.save(out / f"o{orientation}.jpg", exif=tag, quality=95, subsampling=0)
    image.save(out / f"o{orientation}.tif", exif=tag, compression="tiff_lzw")
    chunk = png_chunk(b"eXIf", exif(orientation))
    (out / f"o{orientation}.png").write_bytes(png(width, height, 8, 2, rgb_rows(stored), before=chunk))

# Browsers ignore an orientation that comes after the pixels, and WebP's.
(out / "exif_after.png").write_bytes(
    png(WIDTH, HEIGHT, 8, 2, rgb_rows(upright()), after=png_chunk(b"eXIf", exif(6))))
tag = Image.Exif()
tag[0x0112] = 6
Image.fromarray(upright()).save(out / "exif.webp", exif=tag, lossless=True)

image = Image.fromarray(textured())
image.save(out / "rgb.jpg", quality=85)
image.save(out / "progressive.jpg", quality=85, progressive=True)
image.convert("L").save(out / "grey.jpg", quality=85)
image.convert("CMYK").save(out / "cmyk.jpg", quality=85)
image.save(out / "rgb.png")
image.convert("L").save(out / "grey.png")
image.convert("P", palette=Image.Palette.ADAPTIVE).save(out / "palette.png")
image.convert("1").save(out / "bits.png")
image.save(out / "rgb.webp", quality=80)
image.save(out / "lossless.webp", lossless=True)
image.save(out / "rgb.bmp")
image.convert("P", palette=Image.Palette.ADAPTIVE).save(out / "palette.bmp")
image.save(out / "rgb.tif")
image.save(out / "deflate.tif", compression="tiff_adobe_deflate")
image.save(out / "jpeg.tif", compression="jpeg")
with_alpha = np.dstack([textured(), np.tile(np.arange(53, dtype=np.uint8) * 4, (37, 1))])
Image.fromarray(with_alpha).save(out / "alpha.png")
Image.fromarray(with_alpha).save(out / "alpha.webp", lossless=True, exact=True)
Image.fromarray(with_alpha).save(out / "alpha.tif")
deep = (textured().astype(np.uint16) * 256 + 200).astype(">u2")  # the low byte must be dropped, not rounded
(out / "deep.png").write_bytes(png(53, 37, 16, 2, b"".join(b"\0" + row.tobytes() for row in deep)))
grey_deep = (np.asarray(image.convert("L")).astype(np.uint16) * 256 + 200)
Image.fromarray(grey_deep).save(out / "grey_deep.tif")

# GIF and animations.
palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
palette.save(out / "palette.gif", interlace=0)
palette.save(out / "interlaced.gif", interlace=1)
palette.save(out / "animated.gif", save_all=True, append_images=[palette.rotate(90), palette.rotate(180)], duration=100)
image.save(out / "animated.webp", save_all=True, append_images=[image.rotate(90), image.rotate(180)], duration=100)

SCREEN = (24, 16)
COLORS = bytes([200, 10, 20, 30, 180, 40, 50, 60, 220, 240, 230, 90])


def gif_frame(box, indices, colors=b"", interlace=0):
    """An image descriptor and pixels of 2 bits; the code table is cleared before its codes grow to 4 bits."""
    bits, count = "", 0
    for index in indices:
        if count % 2 == 0:
            bits = "100" + bits  # clear
        bits = f"{index:03b}" + bits
        count += 1
    bits = "101" + bits  # end
    data = int(bits, 2).to_bytes((len(bits) + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255))
    flags = (0x81 if colors else 0) | interlace << 6
    return b"," + struct.pack("<HHHHB", *box, flags) + colors + b"\x02" + blocks + b"\0"


def gif(screen, *parts, colors=COLORS):
    flags = 0x81 if colors else 0
    return b"GIF89a" + struct.pack("<HHBBB", *screen, flags, 3, 0) + colors + b"".join(parts) + b";"


def transparent(index):
    return b"!\xf9\x04\x01\x0a\0" + bytes([index]) + b"\0"


indices = [(x // 3 + y // 2) % 4 for y in range(6) for x in range(10)]
COMMENT = b"!\xfe" + (b"\xff" + b"c" * 255) * 3 + b"\0"
gifs = {
    "small_frame": gif(SCREEN, gif_frame((5, 3, 10, 6), indices)),
    "small_frame_transparent": gif(SCREEN, COMMENT, transparent(2), gif_frame((5, 3, 10, 6), indices)),
    "large_frame": gif((8, 4), gif_frame((2, 1, 10, 6), indices)),
    "no_screen": gif((0, 0), gif_frame((0, 0, 10, 6), indices)),
    "no_palette": gif((10, 6), gif_frame((0, 0, 10, 6), indices), colors=b""),
    "short_palette": gif((10, 6), gif_frame((0, 0, 10, 6), indices), colors=b"")[:10] + b"\x80\0\0" + COLORS[:6]
                     + gif_frame((0, 0, 10, 6), indices) + b";",
    "own_palette": gif((10, 6), gif_frame((0, 0, 10, 6), indices, colors=COLORS[::-1]),
                       gif_frame((0, 0, 20, 20), [1] * 400)),
}
for name, data in gifs.items():
    (out / f"{name}.gif").write_bytes(data)


def webp_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def uint24(value):
    return struct.pack("<I", value)[:3]


def webp_animation(canvas, corner, frame, bitstream):
    """One frame of an animation, made of the bitstream of a still image."""
    body = b"WEBP" + webp_chunk(b"VP8X", b"\x02\0\0\0" + uint24(canvas[0] - 1) + uint24(canvas[1] - 1))
    body += webp_chunk(b"ANIM", bytes([10, 20, 30, 255, 0, 0]))
    header = b"".join(map(uint24, (corner[0] // 2, corner[1] // 2, frame[0] - 1, frame[1] - 1, 100)))
    body += webp_chunk(b"ANMF", header + b"\0" + bitstream)
    return b"RIFF" + struct.pack("<I", len(body)) + body


bitstream = (out / "lossless.webp").read_bytes()[12:]
(out / "small_frame.webp").write_bytes(webp_animation((70, 50), (10, 4), (53, 37), bitstream))
# A frame beyond its canvas.
(out / "bad_frame.webp").write_bytes(webp_animation((70, 50), (20, 4), (53, 37), bitstream))
for name in ["palette.gif", "interlaced.gif", "animated.gif", "animated.webp", "small_frame.webp", *(f"{name}.gif" for name in gifs)]:
    Image.open(out / name).convert("RGB").save(out / f"{name}.pillow.png", optimize=True)


def adam7(pixels):
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    return b"".join(rgb_rows(pixels[y::dy, x::dx]) for x, y, dx, dy in starts)


(out / "interlaced.png").write_bytes(png(53, 37, 8, 2, adam7(textured()), interlace=1))

# A bomb: 60 bytes that ask for 30000 x 30000 pixels.
(out / "bad_huge.png").write_bytes(png(30000, 30000, 8, 2, b""))
