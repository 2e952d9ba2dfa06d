"""Draws the images of tests/data/images: one per format, pixel kind and orientation. Needs Pillow and NumPy.

usage: make_codec_fixtures.py OUTPUT_DIRECTORY

Every upright image has four corners of one colour each: red, green / blue, white. `oN_` files store it turned so that
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


def png(width, height, depth, color, rows, before=b"", after=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
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

# A bomb: 60 bytes that ask for 30000 x 30000 pixels.
(out / "bad_huge.png").write_bytes(png(30000, 30000, 8, 2, b""))
