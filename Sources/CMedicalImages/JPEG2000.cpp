#include <openjpeg.h>

#include <cstring>
#include <memory>

#include "Support.h"

namespace medical {

namespace {

struct Source {
    Bytes bytes;
    size_t position = 0;
};

OPJ_SIZE_T read_some(void *buffer, OPJ_SIZE_T count, void *user) {
    auto *source = static_cast<Source *>(user);
    const size_t available = source->bytes.count - source->position;
    if (available == 0) return OPJ_SIZE_T(-1);
    if (count > available) count = available;
    std::memcpy(buffer, source->bytes.start + source->position, count);
    source->position += count;
    return count;
}

OPJ_OFF_T skip_some(OPJ_OFF_T count, void *user) {
    auto *source = static_cast<Source *>(user);
    if (count < 0 || size_t(count) > source->bytes.count - source->position) return -1;
    source->position += size_t(count);
    return count;
}

OPJ_BOOL seek_to(OPJ_OFF_T position, void *user) {
    auto *source = static_cast<Source *>(user);
    if (position < 0 || size_t(position) > source->bytes.count) return OPJ_FALSE;
    source->position = size_t(position);
    return OPJ_TRUE;
}

void ignore(const char *, void *) {}

uint32_t big_endian(const uint8_t *bytes, int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

/// The code stream in a JP2 file, or what was given.
Bytes code_stream(Bytes stream) {
    static const uint8_t signature[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    if (stream.count < sizeof signature || std::memcmp(stream.start, signature, sizeof signature) != 0) return stream;
    size_t position = 0;
    while (stream.count - position >= 8) {
        uint64_t length = big_endian(stream.start + position, 4);
        size_t header = 8;
        if (length == 1 && stream.count - position >= 16) {
            length = uint64_t(big_endian(stream.start + position + 8, 4)) << 32
                | big_endian(stream.start + position + 12, 4);
            header = 16;
        }
        if (length == 0) length = stream.count - position;
        if (length < header || length > stream.count - position) break;
        if (std::memcmp(stream.start + position + 4, "jp2c", 4) == 0) {
            return {stream.start + position + header, size_t(length) - header};
        }
        position += size_t(length);
    }
    fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the JP2 file holds no code stream");
}

/// Checks the header against the file's, before the decoder takes memory for what it says.
void check_header(Bytes stream, const FrameShape &shape) {
    static const uint8_t start[] = {0xFF, 0x4F, 0xFF, 0x51};
    if (stream.count < 42 || std::memcmp(stream.start, start, sizeof start) != 0) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: no JPEG 2000 code stream");
    }
    const uint8_t *size = stream.start + 8;
    const uint32_t x1 = big_endian(size, 4), y1 = big_endian(size + 4, 4);
    const uint32_t x0 = big_endian(size + 8, 4), y0 = big_endian(size + 12, 4);
    const uint32_t tile_width = big_endian(size + 16, 4), tile_height = big_endian(size + 20, 4);
    const uint32_t components = big_endian(size + 32, 2);
    if (x1 <= x0 || y1 <= y0 || x1 - x0 != uint32_t(shape.columns) || y1 - y0 != uint32_t(shape.rows)) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream has another size than Rows and Columns say");
    }
    if (components != uint32_t(shape.samples)) {
        fail(
            MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream has %u components, Samples per Pixel is %d",
            components, shape.samples);
    }
    if (tile_width == 0 || tile_height == 0) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a side of the code stream's tiles is 0");
    }
    const uint64_t tiles = (uint64_t(x1 - x0) / tile_width + 2) * (uint64_t(y1 - y0) / tile_height + 2);
    if (tiles > 65535 + 4096) fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream has too many tiles");
}

/// Whether the coding style asks for the transform of several components.
bool has_color_transform(Bytes stream) {
    size_t position = 2;
    while (stream.count - position >= 4 && position < stream.count && stream.start[position] == 0xFF) {
        const uint8_t marker = stream.start[position + 1];
        const size_t length = big_endian(stream.start + position + 2, 2);
        if (marker == 0x52) return stream.count - position >= 9 && stream.start[position + 8] == 1;
        if (marker == 0x90 || length < 2 || length + 2 > stream.count - position) break;
        position += 2 + length;
    }
    return false;
}

struct ReleaseCodec {
    void operator()(opj_codec_t *codec) const { opj_destroy_codec(codec); }
};

struct ReleaseStream {
    void operator()(opj_stream_t *stream) const { opj_stream_destroy(stream); }
};

struct ReleaseImage {
    void operator()(opj_image_t *image) const { opj_image_destroy(image); }
};

}  // namespace

bool decode_jpeg2000(Bytes given, const FrameShape &shape, int32_t *values) {
    const Bytes stream_bytes = code_stream(given);
    check_header(stream_bytes, shape);
    Source source{stream_bytes};
    std::unique_ptr<opj_codec_t, ReleaseCodec> codec(opj_create_decompress(OPJ_CODEC_J2K));
    std::unique_ptr<opj_stream_t, ReleaseStream> stream(opj_stream_default_create(OPJ_TRUE));
    if (!codec || !stream) throw std::bad_alloc();
    opj_stream_set_user_data(stream.get(), &source, nullptr);
    opj_stream_set_user_data_length(stream.get(), stream_bytes.count);
    opj_stream_set_read_function(stream.get(), read_some);
    opj_stream_set_skip_function(stream.get(), skip_some);
    opj_stream_set_seek_function(stream.get(), seek_to);
    opj_set_error_handler(codec.get(), ignore, nullptr);
    opj_set_warning_handler(codec.get(), ignore, nullptr);
    opj_set_info_handler(codec.get(), ignore, nullptr);
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    opj_image_t *raw = nullptr;
    const bool has_header = opj_setup_decoder(codec.get(), &parameters)
        && opj_decoder_set_strict_mode(codec.get(), OPJ_TRUE) && opj_read_header(stream.get(), codec.get(), &raw);
    std::unique_ptr<opj_image_t, ReleaseImage> image(raw);
    if (!has_header || !image || image->numcomps != OPJ_UINT32(shape.samples)) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the header of the JPEG 2000 code stream is damaged");
    }
    for (OPJ_UINT32 c = 0; c < image->numcomps; c++) {
        const opj_image_comp_t &component = image->comps[c];
        if (component.dx != 1 || component.dy != 1) {
            fail(MEDICAL_UNSUPPORTED, "(7FE0,0010) Pixel Data: JPEG 2000 components of several sizes");
        }
        if (component.prec < 1 || component.prec > OPJ_UINT32(shape.bits_allocated)) {
            fail(
                MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream has %u bits, Bits Allocated is %d",
                component.prec, shape.bits_allocated);
        }
    }
    if (!opj_decode(codec.get(), stream.get(), image.get()) || !opj_end_decompress(codec.get(), stream.get())) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the JPEG 2000 code stream is damaged");
    }
    const size_t pixels = size_t(shape.rows) * size_t(shape.columns);
    for (int32_t c = 0; c < shape.samples; c++) {
        const opj_image_comp_t &component = image->comps[c];
        if (!component.data || component.w != OPJ_UINT32(shape.columns) || component.h != OPJ_UINT32(shape.rows)) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a component of the code stream is missing");
        }
        // The header's sign wins over an unsigned code stream; a signed one is taken as it is.
        const bool extends = shape.is_signed && !component.sgnd && shape.samples == 1;
        int32_t *target = values + c;
        for (size_t i = 0; i < pixels; i++, target += shape.samples) {
            *target = extends ? stored_value(uint32_t(component.data[i]), 0, shape.bits_stored, true)
                              : component.data[i];
        }
    }
    return shape.samples == 3 && has_color_transform(stream_bytes);
}

}  // namespace medical
