#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "support.h"

/* The file in memory, and where libtiff's first complaint goes. */
typedef struct tiff_source {
    const uint8_t *bytes;
    uint64_t count;
    uint64_t position;
    char *message;
    int failed;
} tiff_source;

static tmsize_t tiff_read(thandle_t handle, void *destination, tmsize_t count) {
    tiff_source *source = handle;
    if (count <= 0 || source->position >= source->count) return 0;
    uint64_t available = source->count - source->position;
    uint64_t taken = (uint64_t)count < available ? (uint64_t)count : available;
    memcpy(destination, source->bytes + source->position, (size_t)taken);
    source->position += taken;
    return (tmsize_t)taken;
}

static tmsize_t tiff_write(thandle_t handle, void *bytes, tmsize_t count) {
    (void)handle, (void)bytes, (void)count;
    return 0;
}

static toff_t tiff_seek(thandle_t handle, toff_t offset, int whence) {
    tiff_source *source = handle;
    uint64_t base = whence == SEEK_CUR ? source->position : whence == SEEK_END ? source->count : 0;
    source->position = base + offset;
    return source->position;
}

static int tiff_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t tiff_size(thandle_t handle) {
    return ((tiff_source *)handle)->count;
}

#if TIFFLIB_VERSION >= 20221213
static int tiff_complained(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
    (void)tiff, (void)module;
    tiff_source *source = user;
    if (!source->failed) {
        char text[IMAGE_CODEC_MESSAGE_CAPACITY];
        vsnprintf(text, sizeof text, format, arguments);
        image_codec_fail(source->message, IMAGE_CODEC_MALFORMED, "%s", text);
        source->failed = 1;
    }
    return 1;
}

static int tiff_warned(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
    (void)tiff, (void)user, (void)module, (void)format, (void)arguments;
    return 1;
}
#endif

static TIFF *tiff_open(tiff_source *source) {
    source->message[0] = 0;
#if TIFFLIB_VERSION >= 20221213
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(options, tiff_complained, source);
    TIFFOpenOptionsSetWarningHandlerExtR(options, tiff_warned, source);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)1 << 30);
    TIFF *tiff = TIFFClientOpenExt(
        "memory", "rm", source, tiff_read, tiff_write, tiff_seek, tiff_close, tiff_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
#else
    /* Older libraries have one handler for the process; without one they are silent. */
    TIFFSetErrorHandler(NULL);
    TIFFSetWarningHandler(NULL);
    return TIFFClientOpen(
        "memory", "rm", source, tiff_read, tiff_write, tiff_seek, tiff_close, tiff_size, NULL, NULL);
#endif
}

static int32_t tiff_malformed(tiff_source *source, const char *text) {
    if (source->failed) return IMAGE_CODEC_MALFORMED;
    return image_codec_fail(source->message, IMAGE_CODEC_MALFORMED, "%s", text);
}

/* How the samples of the file become those of the picture. */
typedef struct tiff_form {
    uint32_t width;
    uint32_t height;
    uint16_t bits;
    uint16_t samples;
    uint16_t photometric;
    uint16_t planar;
    int32_t layout;
    int inverted;
    const uint16_t *palette[3];
    int palette_shift;
} tiff_form;

static int kept_samples(const tiff_form *form) {
    switch (form->layout) {
    case IMAGE_CODEC_RGB8: return form->palette[0] ? 1 : 3;
    case IMAGE_CODEC_CMYK8: return 4;
    default: return 1;
    }
}

static uint32_t sample_at(const uint8_t *row, size_t index, unsigned bits) {
    switch (bits) {
    case 1: return (row[index >> 3] >> (7 - (index & 7))) & 1;
    case 2: return (row[index >> 2] >> (6 - 2 * (index & 3))) & 3;
    case 4: return (row[index >> 1] >> (4 - 4 * (index & 1))) & 15;
    case 8: return row[index];
    default: {
        uint16_t value;
        memcpy(&value, row + 2 * index, 2);
        return value;
    }
    }
}

/* Writes `count` pixels that start at column `x` of row `y`; `first` is the sample of the picture that `row` starts with
 * and `stride` the number of samples from one pixel to the next in `row`. */
static void put_pixels(
    const tiff_form *form, image_codec_picture *picture, const uint8_t *row, uint32_t x, uint32_t y, uint32_t count,
    int first, int taken, int stride) {
    size_t pixel = (size_t)y * form->width + x;
    if (form->layout == IMAGE_CODEC_GRAY16) {
        for (uint32_t i = 0; i < count; i++) {
            uint16_t value = (uint16_t)sample_at(row, (size_t)i * (size_t)stride, 16);
            if (picture->gray_offset) value ^= 0x8000;
            if (form->inverted) value = (uint16_t)~value;
            memcpy(picture->samples + 2 * (pixel + i), &value, 2);
        }
        return;
    }
    if (form->palette[0]) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t index = sample_at(row, (size_t)i * (size_t)stride, form->bits);
            for (int c = 0; c < 3; c++) {
                picture->samples[3 * (pixel + i) + (size_t)c] =
                    (uint8_t)(form->palette[c][index] >> form->palette_shift);
            }
        }
        return;
    }
    static const uint8_t scale[] = {0, 255, 85, 0, 17};
    size_t channels = (size_t)kept_samples(form);
    for (uint32_t i = 0; i < count; i++) {
        for (int c = 0; c < taken; c++) {
            uint32_t value = sample_at(row, (size_t)i * (size_t)stride + (size_t)c, form->bits);
            if (form->bits < 8) value *= scale[form->bits];
            if (form->bits == 16) value >>= 8;
            if (form->inverted) value = 255 - value;
            picture->samples[channels * (pixel + i) + (size_t)(first + c)] = (uint8_t)value;
        }
    }
}

static int32_t read_strips(TIFF *tiff, tiff_source *source, const tiff_form *form, image_codec_picture *picture) {
    tmsize_t row_bytes = TIFFScanlineSize(tiff);
    int separate = form->planar == PLANARCONFIG_SEPARATE && form->samples > 1;
    uint64_t stride = separate ? 1 : form->samples;
    if (row_bytes <= 0 || (uint64_t)row_bytes * 8 < (uint64_t)form->width * stride * form->bits) {
        return tiff_malformed(source, "the rows are shorter than the picture is wide");
    }
    uint8_t *row = malloc((size_t)row_bytes);
    if (!row) return image_codec_fail(source->message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for a row");
    int kept = kept_samples(form);
    int32_t status = IMAGE_CODEC_OK;
    for (int plane = 0; plane < (separate ? kept : 1) && status == IMAGE_CODEC_OK; plane++) {
        for (uint32_t y = 0; y < form->height; y++) {
            if (TIFFReadScanline(tiff, row, y, (uint16_t)plane) != 1 || source->failed) {
                status = tiff_malformed(source, "the data end before the picture does");
                break;
            }
            put_pixels(form, picture, row, 0, y, form->width, plane, separate ? 1 : kept, (int)stride);
        }
    }
    free(row);
    return status;
}

static int32_t read_tiles(TIFF *tiff, tiff_source *source, const tiff_form *form, image_codec_picture *picture) {
    uint32_t tile_width = 0, tile_height = 0;
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &tile_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &tile_height);
    tmsize_t tile_bytes = TIFFTileSize(tiff);
    tmsize_t row_bytes = TIFFTileRowSize(tiff);
    int separate = form->planar == PLANARCONFIG_SEPARATE && form->samples > 1;
    uint64_t stride = separate ? 1 : form->samples;
    if (!tile_width || !tile_height || tile_bytes <= 0 || row_bytes <= 0
        || (uint64_t)row_bytes * 8 < (uint64_t)tile_width * stride * form->bits
        || (uint64_t)tile_bytes / (uint64_t)row_bytes < tile_height) {
        return tiff_malformed(source, "the tiles do not have the size that is declared");
    }
    uint8_t *tile = malloc((size_t)tile_bytes);
    if (!tile) return image_codec_fail(source->message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for a tile");
    int kept = kept_samples(form);
    int32_t status = IMAGE_CODEC_OK;
    for (int plane = 0; plane < (separate ? kept : 1); plane++) {
        for (uint64_t top = 0; top < form->height && status == IMAGE_CODEC_OK; top += tile_height) {
            for (uint64_t left = 0; left < form->width; left += tile_width) {
                if (TIFFReadTile(tiff, tile, (uint32_t)left, (uint32_t)top, 0, (uint16_t)plane) < 0
                    || source->failed) {
                    status = tiff_malformed(source, "the data end before the picture does");
                    break;
                }
                uint32_t columns = (uint32_t)(form->width - left < tile_width ? form->width - left : tile_width);
                uint32_t rows = (uint32_t)(form->height - top < tile_height ? form->height - top : tile_height);
                for (uint32_t y = 0; y < rows; y++) {
                    put_pixels(
                        form, picture, tile + (size_t)y * (size_t)row_bytes, (uint32_t)left, (uint32_t)top + y,
                        columns, plane, separate ? 1 : kept, (int)stride);
                }
            }
        }
    }
    free(tile);
    return status;
}

/* YCbCr in any subsampling, by libtiff's own conversion. */
static int32_t read_by_libtiff(TIFF *tiff, tiff_source *source, const tiff_form *form, image_codec_picture *picture) {
    size_t pixels = (size_t)form->width * form->height;
    uint32_t *raster = malloc(pixels * sizeof *raster);
    if (!raster) return image_codec_fail(source->message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for the picture");
    int read = TIFFReadRGBAImageOriented(tiff, form->width, form->height, raster, ORIENTATION_TOPLEFT, 1);
    if (read == 1 && !source->failed) {
        for (size_t i = 0; i < pixels; i++) {
            picture->samples[3 * i] = (uint8_t)TIFFGetR(raster[i]);
            picture->samples[3 * i + 1] = (uint8_t)TIFFGetG(raster[i]);
            picture->samples[3 * i + 2] = (uint8_t)TIFFGetB(raster[i]);
        }
    }
    free(raster);
    return read == 1 && !source->failed ? IMAGE_CODEC_OK : tiff_malformed(source, "the picture cannot be decoded");
}

static int32_t tiff_decode(TIFF *tiff, tiff_source *source, size_t maximum_pixels, image_codec_picture *picture) {
    tiff_form form = {.bits = 1, .samples = 1, .planar = PLANARCONFIG_CONTIG};
    uint16_t format = SAMPLEFORMAT_UINT;
    uint16_t compression = COMPRESSION_NONE;
    if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &form.width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &form.height)) {
        return tiff_malformed(source, "the size of the picture is missing");
    }
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &form.bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &form.samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &form.planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &form.photometric)) {
        form.photometric = form.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    }
    int bits_known = form.bits == 1 || form.bits == 2 || form.bits == 4 || form.bits == 8 || form.bits == 16;
    int is_signed = format == SAMPLEFORMAT_INT && form.bits == 16;
    int samples_needed = 1;
    int by_libtiff = 0;
    int32_t unsupported = 0;
    switch (form.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        form.inverted = form.photometric == PHOTOMETRIC_MINISWHITE;
        form.layout = form.bits == 16 ? IMAGE_CODEC_GRAY16 : IMAGE_CODEC_GRAY8;
        unsupported = form.samples > 1 && form.bits < 8;
        break;
    case PHOTOMETRIC_RGB:
        form.layout = IMAGE_CODEC_RGB8;
        samples_needed = 3;
        unsupported = form.bits < 8;
        break;
    case PHOTOMETRIC_PALETTE: {
        uint16_t *red, *green, *blue;
        form.layout = IMAGE_CODEC_RGB8;
        unsupported = form.bits > 8 || (form.samples > 1 && form.bits < 8);
        if (unsupported) break;
        if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue)) {
            return tiff_malformed(source, "the colour map is missing");
        }
        form.palette[0] = red;
        form.palette[1] = green;
        form.palette[2] = blue;
        /* Some writers put 8-bit values into the 16-bit map. */
        for (uint32_t i = 0; i < (1u << form.bits); i++) {
            if ((red[i] | green[i] | blue[i]) > 255) form.palette_shift = 8;
        }
        break;
    }
    case PHOTOMETRIC_SEPARATED:
        form.layout = IMAGE_CODEC_CMYK8;
        samples_needed = 4;
        unsupported = form.bits < 8;
        break;
    case PHOTOMETRIC_YCBCR:
        form.layout = IMAGE_CODEC_RGB8;
        samples_needed = 3;
        unsupported = form.bits != 8;
        if (compression == COMPRESSION_JPEG) {
            TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        } else {
            by_libtiff = 1;
        }
        break;
    default:
        unsupported = 1;
    }
    if (unsupported || !bits_known || (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID && !is_signed)
        || (is_signed && form.layout != IMAGE_CODEC_GRAY16)) {
        return image_codec_fail(
            source->message, IMAGE_CODEC_UNSUPPORTED,
            "a TIFF file of photometric interpretation %u, %u bits a sample, sample format %u", form.photometric,
            form.bits, format);
    }
    if (form.samples < samples_needed) return tiff_malformed(source, "there are too few samples a pixel");
    if (!TIFFIsCODECConfigured(compression)) {
        return image_codec_fail(
            source->message, IMAGE_CODEC_UNSUPPORTED, "a TIFF file of compression %u", compression);
    }

    image_codec_picture result;
    int32_t status =
        image_codec_allocate(form.width, form.height, form.layout, maximum_pixels, &result, source->message);
    if (status != IMAGE_CODEC_OK) return status;
    if (is_signed) result.gray_offset = -32768;
    if (by_libtiff) {
        status = read_by_libtiff(tiff, source, &form, &result);
    } else if (TIFFIsTiled(tiff)) {
        status = read_tiles(tiff, source, &form, &result);
    } else {
        status = read_strips(tiff, source, &form, &result);
    }
    if (status != IMAGE_CODEC_OK) {
        free(result.samples);
        return status;
    }
    *picture = result;
    return IMAGE_CODEC_OK;
}

int32_t image_codec_decode_tiff(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message) {
    tiff_source source = {.bytes = bytes, .count = count, .message = message};
    TIFF *tiff = tiff_open(&source);
    if (!tiff) return tiff_malformed(&source, "the header cannot be read");
    /* Complaints about tags that are not needed do not make a picture unreadable. */
    source.failed = 0;
    message[0] = 0;
    int32_t status = tiff_decode(tiff, &source, maximum_pixels, picture);
    TIFFClose(tiff);
    return status;
}

int32_t image_codec_tiff_size(
    const uint8_t *bytes, size_t count, int32_t *width, int32_t *height, char *message) {
    tiff_source source = {.bytes = bytes, .count = count, .message = message};
    TIFF *tiff = tiff_open(&source);
    if (!tiff) return tiff_malformed(&source, "the header cannot be read");
    uint32_t read_width = 0, read_height = 0;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &read_width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &read_height);
    TIFFClose(tiff);
    if (!read_width || !read_height || read_width > INT32_MAX || read_height > INT32_MAX) {
        return image_codec_fail(message, IMAGE_CODEC_MALFORMED, "the size of the picture is missing");
    }
    *width = (int32_t)read_width;
    *height = (int32_t)read_height;
    return IMAGE_CODEC_OK;
}
