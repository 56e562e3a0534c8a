#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>

#include "Structure.h"

namespace medical {

namespace {

/// The kinds of pixel data.
enum class Codec { native, rle, jpeg, jpegls, jpeg2000, none };

struct Syntax {
    const char *uid;
    Codec codec;
    E_TransferSyntax dcmtk;
};

const Syntax syntaxes[] = {
    {"1.2.840.10008.1.2", Codec::native, EXS_LittleEndianImplicit},
    {"1.2.840.10008.1.2.1", Codec::native, EXS_LittleEndianExplicit},
    {"1.2.840.10008.1.2.1.99", Codec::native, EXS_LittleEndianExplicit},
    {"1.2.840.10008.1.2.2", Codec::native, EXS_BigEndianExplicit},
    {"1.2.840.10008.1.2.5", Codec::rle, EXS_RLELossless},
    {"1.2.840.10008.1.2.4.50", Codec::jpeg, EXS_JPEGProcess1},
    {"1.2.840.10008.1.2.4.51", Codec::jpeg, EXS_JPEGProcess2_4},
    {"1.2.840.10008.1.2.4.53", Codec::jpeg, EXS_JPEGProcess6_8},
    {"1.2.840.10008.1.2.4.55", Codec::jpeg, EXS_JPEGProcess10_12},
    {"1.2.840.10008.1.2.4.57", Codec::jpeg, EXS_JPEGProcess14},
    {"1.2.840.10008.1.2.4.70", Codec::jpeg, EXS_JPEGProcess14SV1},
    {"1.2.840.10008.1.2.4.80", Codec::jpegls, EXS_JPEGLSLossless},
    {"1.2.840.10008.1.2.4.81", Codec::jpegls, EXS_JPEGLSLossy},
    {"1.2.840.10008.1.2.4.90", Codec::jpeg2000, EXS_JPEG2000LosslessOnly},
    {"1.2.840.10008.1.2.4.91", Codec::jpeg2000, EXS_JPEG2000},
    {"1.2.840.10008.1.2.4.201", Codec::jpeg2000, EXS_JPEG2000LosslessOnly},
    {"1.2.840.10008.1.2.4.202", Codec::jpeg2000, EXS_JPEG2000LosslessOnly},
    {"1.2.840.10008.1.2.4.203", Codec::jpeg2000, EXS_JPEG2000},
};

constexpr size_t maximum_inflated = size_t(1) << 29;

/// Silences the library and registers its decoders, once.
void prepare_library() {
    static std::once_flag once;
    std::call_once(once, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        // The samples stay as they are stored: what their colours mean is decided above this interface.
        DJDecoderRegistration::registerCodecs(EDC_never, EUC_never, EPC_colorByPixel);
        DJLSDecoderRegistration::registerCodecs(EJLSUC_never, EJLSPC_colorByPixel);
        DcmRLEDecoderRegistration::registerCodecs();
        // Looked at once here: it is filled at the first use.
        dcmDataDict.rdlock();
        dcmDataDict.rdunlock();
    });
}

}  // namespace

}  // namespace medical

using namespace medical;

struct medical_dicom {
    std::vector<uint8_t> content;
    std::string transfer_syntax;
    const Syntax *syntax = nullptr;
    PixelExtent pixels;
    mutable DcmDataset data_set;
    // DCMTK's getters build lookup state inside elements.
    mutable std::mutex mutex;
};

namespace {

/// The element of a path; null where there is none.
DcmElement *find(const medical_dicom *file, const uint32_t *path, size_t count) {
    DcmItem *item = &file->data_set;
    if (count % 2 != 1) return nullptr;
    for (size_t i = 0; i + 1 < count; i += 2) {
        DcmSequenceOfItems *sequence = nullptr;
        const DcmTagKey key(Uint16(path[i] >> 16), Uint16(path[i] & 0xFFFF));
        DcmElement *element = nullptr;
        if (item->findAndGetElement(key, element).bad() || !element) return nullptr;
        sequence = dynamic_cast<DcmSequenceOfItems *>(element);
        if (!sequence || path[i + 1] >= sequence->card()) return nullptr;
        item = sequence->getItem(path[i + 1]);
        if (!item) return nullptr;
    }
    DcmElement *element = nullptr;
    const DcmTagKey key(Uint16(path[count - 1] >> 16), Uint16(path[count - 1] & 0xFFFF));
    if (item->findAndGetElement(key, element).bad()) return nullptr;
    return element;
}

/// An attribute of the image that is a whole number; `standard` where it is missing.
int32_t whole(const medical_dicom *file, uint32_t tag, const char *name, int32_t standard, int32_t low, int32_t high) {
    double value = 0;
    const int64_t count = medical_dicom_numbers(file, &tag, 1, &value, 1);
    if (count < 1) {
        if (standard < low) {
            fail(MEDICAL_MALFORMED, "(%04X,%04X) %s is missing", tag >> 16, tag & 0xFFFF, name);
        }
        return standard;
    }
    if (!(value >= low && value <= high) || value != std::floor(value)) {
        fail(MEDICAL_MALFORMED, "(%04X,%04X) %s is %g", tag >> 16, tag & 0xFFFF, name, value);
    }
    return int32_t(value);
}

std::string text(const medical_dicom *file, uint32_t tag) {
    char buffer[65];
    if (medical_dicom_text(file, &tag, 1, buffer, sizeof buffer) < 0) return "";
    return buffer;
}

/// Everything about the pixels that decoding needs.
struct Description {
    FrameShape shape;
    int32_t frames;
    int32_t high_bit;
    bool is_planar;
    bool is_subsampled;  // YBR_FULL_422, not compressed: two pixels share their chroma

    size_t native_frame_bits() const {
        const size_t pixels = size_t(shape.rows) * size_t(shape.columns);
        return is_subsampled ? pixels * 16 : pixels * size_t(shape.samples) * size_t(shape.bits_allocated);
    }
};

Description describe(const medical_dicom *file, size_t maximum_pixels) {
    const PixelExtent &pixels = file->pixels;
    if (pixels.tag == 0) fail(MEDICAL_NO_IMAGE, "(7FE0,0010) Pixel Data is missing");
    if (pixels.tag != 0x7FE00010) {
        fail(MEDICAL_UNSUPPORTED, "(%04X,%04X): pixel data in floating point", pixels.tag >> 16, pixels.tag & 0xFFFF);
    }
    Description d{};
    d.shape.rows = whole(file, 0x00280010, "Rows", 0, 1, 65535);
    d.shape.columns = whole(file, 0x00280011, "Columns", 0, 1, 65535);
    d.frames = whole(file, 0x00280008, "Number of Frames", 1, 1, 1 << 24);
    d.shape.samples = whole(file, 0x00280002, "Samples per Pixel", 1, 1, 4);
    if (d.shape.samples != 1 && d.shape.samples != 3) {
        fail(MEDICAL_UNSUPPORTED, "(0028,0002) Samples per Pixel is %d", d.shape.samples);
    }
    d.shape.bits_allocated = whole(file, 0x00280100, "Bits Allocated", 0, 1, 64);
    d.shape.bits_stored = whole(file, 0x00280101, "Bits Stored", d.shape.bits_allocated, 1, d.shape.bits_allocated);
    d.high_bit = whole(
        file, 0x00280102, "High Bit", d.shape.bits_stored - 1, d.shape.bits_stored - 1, d.shape.bits_allocated - 1);
    d.shape.is_signed = whole(file, 0x00280103, "Pixel Representation", 0, 0, 1) == 1;
    d.is_planar = d.shape.samples > 1 && whole(file, 0x00280006, "Planar Configuration", 0, 0, 1) == 1;
    const int32_t bits = d.shape.bits_allocated;
    if (bits != 1 && bits != 8 && bits != 16 && bits != 32) {
        fail(MEDICAL_UNSUPPORTED, "(0028,0100) Bits Allocated is %d", bits);
    }
    const std::string photometric = text(file, 0x00280004);
    d.is_subsampled = !pixels.is_encapsulated && d.shape.samples == 3
        && (photometric == "YBR_FULL_422" || photometric == "YBR_PARTIAL_422");
    if (d.is_subsampled && (bits != 8 || d.shape.columns % 2 != 0 || d.is_planar)) {
        fail(MEDICAL_UNSUPPORTED, "(0028,0004) Photometric Interpretation: 4:2:2 in an odd form");
    }
    if (size_t(d.shape.rows) * size_t(d.shape.columns) > maximum_pixels) {
        fail(
            MEDICAL_TOO_LARGE, "%d x %d pixels, at most %zu pixels are read", d.shape.columns, d.shape.rows,
            maximum_pixels);
    }
    if (pixels.is_encapsulated) {
        if (file->syntax && file->syntax->codec == Codec::native) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data are in fragments, which the transfer syntax does not have");
        }
        if (pixels.fragments.size() < size_t(d.frames)) {
            fail(
                MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: %zu fragments for %d frames", pixels.fragments.size(),
                d.frames);
        }
        if (bits == 1) fail(MEDICAL_UNSUPPORTED, "(0028,0100) Bits Allocated is 1 and the pixels are compressed");
    } else {
        if (file->syntax && file->syntax->codec != Codec::native) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data are not in fragments, as the transfer syntax has them");
        }
        // At most 2^16 * 2^16 * 3 * 32 bits a frame, 2^24 frames: no overflow.
        const size_t bytes = (d.native_frame_bits() * size_t(d.frames) + 7) / 8;
        if (bytes > pixels.native.count) {
            fail(
                MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: %zu bytes are there, Rows, Columns and frames need %zu",
                pixels.native.count, bytes);
        }
    }
    return d;
}

void decode_native(const medical_dicom *file, const Description &d, int32_t frame, int32_t *values) {
    const uint8_t *bytes = file->pixels.native.start;
    const size_t length = file->pixels.native.count;
    const bool is_big_endian = file->syntax->dcmtk == EXS_BigEndianExplicit;
    const int32_t bits = d.shape.bits_allocated;
    const int32_t shift = d.high_bit + 1 - d.shape.bits_stored;
    const size_t pixels = size_t(d.shape.rows) * size_t(d.shape.columns);
    const size_t start = d.native_frame_bits() * size_t(frame);
    if (bits == 1) {
        const size_t count = d.shape.value_count();
        for (size_t i = 0; i < count; i++) values[i] = bytes[(start + i) / 8] >> ((start + i) % 8) & 1;
        return;
    }
    const size_t first = start / 8;
    // Bytes of a big-endian file that are written as words stand in pairs, the later one first.
    const bool has_pairs = bits == 8 && is_big_endian && file->pixels.has_words;
    auto byte = [&](size_t index) -> uint32_t {
        size_t place = first + index;
        if (has_pairs && (place ^ 1) < length) place ^= 1;
        return bytes[place];
    };
    if (d.is_subsampled) {
        for (size_t pair = 0; pair < pixels / 2; pair++) {
            for (size_t i = 0; i < 2; i++) {
                values[6 * pair + 3 * i] = int32_t(byte(4 * pair + i));
                values[6 * pair + 3 * i + 1] = int32_t(byte(4 * pair + 2));
                values[6 * pair + 3 * i + 2] = int32_t(byte(4 * pair + 3));
            }
        }
        return;
    }
    const size_t samples = size_t(d.shape.samples);
    for (size_t sample = 0; sample < samples; sample++) {
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            const size_t index = d.is_planar ? sample * pixels + pixel : pixel * samples + sample;
            uint32_t cell;
            if (bits == 8) {
                cell = byte(index);
            } else if (bits == 16) {
                const uint8_t *at = bytes + first + 2 * index;
                cell = is_big_endian ? uint32_t(at[0]) << 8 | at[1] : uint32_t(at[1]) << 8 | at[0];
            } else {
                const uint8_t *at = bytes + first + 4 * index;
                cell = is_big_endian
                    ? uint32_t(at[0]) << 24 | uint32_t(at[1]) << 16 | uint32_t(at[2]) << 8 | at[3]
                    : uint32_t(at[3]) << 24 | uint32_t(at[2]) << 16 | uint32_t(at[1]) << 8 | at[0];
            }
            values[pixel * samples + sample] = stored_value(cell, shift, d.shape.bits_stored, d.shape.is_signed);
        }
    }
}

/// The code stream of a frame, its fragments put together.
std::vector<uint8_t> frame_stream(const medical_dicom *file, const Description &d, int32_t frame) {
    const PixelExtent &pixels = file->pixels;
    const size_t count = pixels.fragments.size();
    size_t first = 0, last = count;
    if (count == size_t(d.frames)) {
        first = size_t(frame);
        last = first + 1;
    } else if (d.frames > 1) {
        std::vector<size_t> starts;
        if (pixels.offsets.size() == size_t(d.frames)) {
            uint64_t offset = 0;
            for (size_t i = 0; i < count; i++) {
                if (starts.size() < pixels.offsets.size() && pixels.offsets[starts.size()] == offset) {
                    starts.push_back(i);
                }
                offset += 8 + pixels.fragments[i].count;
            }
        } else {
            // Without a table a frame begins where a code stream does.
            for (size_t i = 0; i < count; i++) {
                const Bytes &fragment = pixels.fragments[i];
                const bool begins = fragment.count >= 2 && fragment.start[0] == 0xFF
                    && (fragment.start[1] == 0xD8 || fragment.start[1] == 0x4F);
                if (begins) starts.push_back(i);
            }
        }
        if (starts.size() != size_t(d.frames) || starts[0] != 0) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the fragments cannot be told apart into frames");
        }
        first = starts[size_t(frame)];
        last = size_t(frame) + 1 < starts.size() ? starts[size_t(frame) + 1] : count;
    }
    std::vector<uint8_t> stream;
    for (size_t i = first; i < last; i++) {
        const Bytes &fragment = pixels.fragments[i];
        stream.insert(stream.end(), fragment.start, fragment.start + fragment.count);
    }
    return stream;
}

/// The frame header of a JPEG or JPEG-LS code stream.
struct JPEGHeader {
    int32_t precision = 0;
    bool is_jfif = false;
    bool has_adobe_transform = false;
};

/// Finds the frame header and checks it against the file's, before a decoder takes memory for what it says.
JPEGHeader check_jpeg(const std::vector<uint8_t> &stream, const FrameShape &shape, bool is_ls) {
    JPEGHeader header;
    if (stream.size() < 4 || stream[0] != 0xFF || stream[1] != 0xD8) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: no JPEG code stream");
    }
    size_t position = 2;
    bool has_frame = false;
    while (position + 4 <= stream.size()) {
        if (stream[position] != 0xFF) fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a JPEG marker is missing");
        const uint8_t marker = stream[position + 1];
        if (marker == 0xFF) {
            position += 1;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a JPEG marker stands where it must not");
        }
        if (marker == 0xD9) break;
        const size_t length = size_t(stream[position + 2]) << 8 | stream[position + 3];
        if (length < 2 || length > stream.size() - position - 2) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a segment of the JPEG code stream is truncated");
        }
        const uint8_t *value = stream.data() + position + 4;
        const bool is_frame = marker == 0xF7
            || (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC);
        if (marker == 0xE0 && length >= 7 && std::memcmp(value, "JFIF", 5) == 0) header.is_jfif = true;
        if (marker == 0xEE && length >= 14 && std::memcmp(value, "Adobe", 5) == 0) {
            header.has_adobe_transform = value[11] == 1;
        }
        if (is_frame) {
            const bool is_read = is_ls ? marker == 0xF7 : marker <= 0xC3;
            if (has_frame || !is_read || length < 8) {
                fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the JPEG frame header is of another kind");
            }
            has_frame = true;
            header.precision = value[0];
            const int32_t rows = int32_t(value[1]) << 8 | value[2], columns = int32_t(value[3]) << 8 | value[4];
            if (rows != shape.rows || columns != shape.columns) {
                fail(
                    MEDICAL_MALFORMED,
                    "(7FE0,0010) Pixel Data: the code stream has another size than Rows and Columns say");
            }
            if (value[5] != shape.samples || length != 8 + 3 * size_t(value[5])) {
                fail(
                    MEDICAL_MALFORMED,
                    "(7FE0,0010) Pixel Data: the code stream has %d components, Samples per Pixel is %d", value[5],
                    shape.samples);
            }
            if (header.precision < 2 || header.precision > 16 || header.precision > shape.bits_allocated) {
                fail(
                    MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream has %d bits, Bits Allocated is %d",
                    header.precision, shape.bits_allocated);
            }
        }
        if (marker == 0xDA) {
            if (!has_frame) fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: a JPEG scan without frame header");
            return header;
        }
        position += 2 + length;
    }
    fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the JPEG code stream holds no scan");
}

void check_rle(const std::vector<uint8_t> &stream, const FrameShape &shape) {
    const size_t segments = size_t(shape.samples) * size_t(shape.bits_allocated / 8);
    const size_t pixels = size_t(shape.rows) * size_t(shape.columns);
    auto number = [&](size_t at) {
        return uint32_t(stream[at + 3]) << 24 | uint32_t(stream[at + 2]) << 16 | uint32_t(stream[at + 1]) << 8
            | stream[at];
    };
    if (stream.size() < 64 || number(0) != segments || segments > 15) {
        fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the RLE header does not fit the image");
    }
    size_t before = 64;
    for (size_t i = 0; i < segments; i++) {
        const size_t offset = number(4 + 4 * i);
        if (offset < before || offset > stream.size()) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the offsets of the RLE segments are wrong");
        }
        before = offset;
    }
    // Two bytes make at most 128.
    if (pixels / 64 > stream.size()) fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the RLE data are truncated");
}

void check(OFCondition condition) {
    if (condition.good()) return;
    if (condition == EC_MemoryExhausted) throw std::bad_alloc();
    fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data cannot be decoded: %s", condition.text());
}

/// Decodes a frame that DCMTK has a decoder for: a data set of this frame alone is made for it, with the attributes that
/// were checked.
int32_t decode_compressed(const medical_dicom *file, const Description &d, int32_t frame, int32_t *values) {
    std::vector<uint8_t> stream = frame_stream(file, d, frame);
    const FrameShape &shape = d.shape;
    const Codec codec = file->syntax->codec;
    if (codec == Codec::jpeg2000) {
        return decode_jpeg2000({stream.data(), stream.size()}, shape, values) ? MEDICAL_COLOR_RGB
                                                                             : MEDICAL_COLOR_AS_NAMED;
    }
    int32_t bits = shape.bits_allocated;
    JPEGHeader header;
    if (codec == Codec::rle) {
        check_rle(stream, shape);
    } else {
        if (bits > 16) fail(MEDICAL_UNSUPPORTED, "(0028,0100) Bits Allocated is %d in a JPEG file", bits);
        header = check_jpeg(stream, shape, codec == Codec::jpegls);
        bits = header.precision <= 8 ? 8 : 16;
        // No coding says less than a 32768th of a bit about a pixel.
        const size_t most = codec == Codec::jpegls ? size_t(8) << 15 : 512;
        if (shape.value_count() / most > stream.size()) {
            fail(MEDICAL_MALFORMED, "(7FE0,0010) Pixel Data: the code stream is truncated");
        }
    }
    if (stream.size() % 2 != 0) stream.push_back(0);

    DcmDataset data_set;
    auto put = [&](const DcmTagKey &tag, int32_t value) { check(data_set.putAndInsertUint16(tag, Uint16(value))); };
    put(DCM_Rows, shape.rows);
    put(DCM_Columns, shape.columns);
    put(DCM_SamplesPerPixel, shape.samples);
    put(DCM_BitsAllocated, bits);
    put(DCM_BitsStored, std::min(bits, codec == Codec::rle ? shape.bits_stored : header.precision));
    put(DCM_HighBit, std::min(bits, codec == Codec::rle ? shape.bits_stored : header.precision) - 1);
    put(DCM_PixelRepresentation, 0);
    if (shape.samples > 1) put(DCM_PlanarConfiguration, 0);
    check(data_set.putAndInsertString(DCM_PhotometricInterpretation, shape.samples == 1 ? "MONOCHROME2" : "RGB"));
    check(data_set.putAndInsertString(DCM_NumberOfFrames, "1"));

    auto sequence = std::make_unique<DcmPixelSequence>(DcmTag(DCM_PixelData, EVR_OB));
    check(sequence->insert(new DcmPixelItem(DcmTag(DCM_PixelItemTag, EVR_OB))));
    auto fragment = std::make_unique<DcmPixelItem>(DcmTag(DCM_PixelItemTag, EVR_OB));
    check(fragment->putUint8Array(stream.data(), stream.size()));
    check(sequence->insert(fragment.release()));
    auto pixel_data = std::make_unique<DcmPixelData>(DCM_PixelData);
    pixel_data->putOriginalRepresentation(file->syntax->dcmtk, nullptr, sequence.release());
    DcmPixelData *pixels = pixel_data.release();
    const OFCondition inserted = data_set.insert(pixels);
    if (inserted.bad()) delete pixels;
    check(inserted);

    const size_t cell = size_t(bits / 8);
    const size_t count = shape.value_count();
    std::vector<uint8_t> buffer(count * cell + 1);
    const size_t size = buffer.size() / 2 * 2;
    if (size > std::numeric_limits<Uint32>::max()) fail(MEDICAL_TOO_LARGE, "a frame of %zu bytes", size);
    Uint32 start = 0;
    OFString color;
    check(pixels->getUncompressedFrame(&data_set, 0, start, buffer.data(), Uint32(size), color));

    const bool is_rle = codec == Codec::rle;
    const int32_t shift = is_rle ? d.high_bit + 1 - shape.bits_stored : 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t value = buffer[i];
        if (cell == 2) {
            Uint16 word;
            std::memcpy(&word, buffer.data() + 2 * i, 2);
            value = word;
        } else if (cell == 4) {
            std::memcpy(&value, buffer.data() + 4 * i, 4);
        }
        values[i] = stored_value(value, shift, shape.bits_stored, shape.is_signed);
    }
    // Files that call the colours of a JFIF stream RGB are common; the stream is right.
    const bool is_ybr = shape.samples == 3 && codec == Codec::jpeg && (header.is_jfif || header.has_adobe_transform);
    return is_ybr ? MEDICAL_COLOR_YBR_FULL : MEDICAL_COLOR_AS_NAMED;
}

}  // namespace

int32_t medical_dicom_open(const uint8_t *bytes, size_t count, medical_dicom **file, char *message) {
    return guarded(message, [&] {
        prepare_library();
        const MetaInformation meta = read_meta({bytes, count});
        auto result = std::make_unique<medical_dicom>();
        result->transfer_syntax = meta.transfer_syntax;
        for (const Syntax &syntax : syntaxes) {
            if (meta.transfer_syntax == syntax.uid) result->syntax = &syntax;
        }
        const Bytes data_set{bytes + meta.data_set_start, count - meta.data_set_start};
        if (meta.transfer_syntax == "1.2.840.10008.1.2.1.99") {
            result->content = inflated(data_set, -15, maximum_inflated);
        } else {
            result->content.assign(data_set.start, data_set.start + data_set.count);
        }
        // Every other transfer syntax of the standard is explicit little endian with fragments.
        const E_TransferSyntax syntax = result->syntax ? result->syntax->dcmtk : EXS_JPEG2000;
        const Encoding encoding{syntax != EXS_LittleEndianImplicit, syntax == EXS_BigEndianExplicit};
        const Bytes content{result->content.data(), result->content.size()};
        result->pixels = check_structure(content, encoding);

        DcmInputBufferStream stream;
        // Where nothing precedes the pixel data there is nothing to read.
        if (result->pixels.start > 0) {
            stream.setBuffer(result->content.data(), offile_off_t(result->pixels.start));
            stream.setEos();
            result->data_set.transferInit();
            const OFCondition condition = result->data_set.read(
                stream, syntax, EGL_noChange, Uint32(std::numeric_limits<Sint32>::max()));
            result->data_set.transferEnd();
            if (condition == EC_MemoryExhausted) throw std::bad_alloc();
            if (condition.bad()) fail(MEDICAL_MALFORMED, "the data set cannot be read: %s", condition.text());
        }
        *file = result.release();
    });
}

void medical_dicom_close(medical_dicom *file) { delete file; }

const char *medical_dicom_transfer_syntax(const medical_dicom *file) { return file->transfer_syntax.c_str(); }

int32_t medical_dicom_item_count(const medical_dicom *file, const uint32_t *path, size_t path_count) {
    int32_t count = 0;
    char message[MEDICAL_MESSAGE_CAPACITY];
    guarded(message, [&] {
        std::lock_guard<std::mutex> lock(file->mutex);
        auto *sequence = dynamic_cast<DcmSequenceOfItems *>(find(file, path, path_count));
        if (sequence) count = int32_t(std::min<unsigned long>(sequence->card(), 1 << 24));
    });
    return count;
}

int64_t medical_dicom_text(
    const medical_dicom *file, const uint32_t *path, size_t path_count, char *buffer, size_t capacity) {
    int64_t length = -1;
    char message[MEDICAL_MESSAGE_CAPACITY];
    guarded(message, [&] {
        std::lock_guard<std::mutex> lock(file->mutex);
        DcmElement *element = find(file, path, path_count);
        OFString value;
        if (!element || !element->isLeaf() || element->getOFStringArray(value).bad()) return;
        if (capacity > 0) {
            const size_t taken = std::min(capacity - 1, size_t(value.size()));
            std::memcpy(buffer, value.c_str(), taken);
            buffer[taken] = 0;
        }
        length = int64_t(value.size());
    });
    return length;
}

int64_t medical_dicom_numbers(
    const medical_dicom *file, const uint32_t *path, size_t path_count, double *values, size_t capacity) {
    int64_t result = -1;
    char message[MEDICAL_MESSAGE_CAPACITY];
    guarded(message, [&] {
        std::lock_guard<std::mutex> lock(file->mutex);
        DcmElement *element = find(file, path, path_count);
        if (!element || !element->isLeaf()) return;
        const unsigned long count = std::min<unsigned long>(element->getVM(), 1 << 20);
        auto all = [&](auto get) {
            const unsigned long wanted = std::min<unsigned long>(count, capacity);
            for (unsigned long i = 0; i < wanted; i++) {
                if (!get(values[i], i)) return;
            }
            result = int64_t(count);
        };
        switch (element->ident()) {
            case EVR_DS:
                all([&](double &value, unsigned long i) {
                    Float64 number = 0;
                    const bool is_good = element->getFloat64(number, i).good() && std::isfinite(number);
                    value = number;
                    return is_good;
                });
                break;
            case EVR_FD:
                all([&](double &value, unsigned long i) {
                    Float64 number = 0;
                    const bool is_good = element->getFloat64(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            case EVR_FL:
                all([&](double &value, unsigned long i) {
                    Float32 number = 0;
                    const bool is_good = element->getFloat32(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            case EVR_IS:
            case EVR_SL:
                all([&](double &value, unsigned long i) {
                    Sint32 number = 0;
                    const bool is_good = element->getSint32(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            case EVR_UL:
                all([&](double &value, unsigned long i) {
                    Uint32 number = 0;
                    const bool is_good = element->getUint32(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            case EVR_SS:
                all([&](double &value, unsigned long i) {
                    Sint16 number = 0;
                    const bool is_good = element->getSint16(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            case EVR_US:
                all([&](double &value, unsigned long i) {
                    Uint16 number = 0;
                    const bool is_good = element->getUint16(number, i).good();
                    value = number;
                    return is_good;
                });
                break;
            default: {
                // Lookup tables are words or bytes: OW, OB, and US or SS or OW as the dictionary has it.
                Uint16 *words = nullptr;
                Uint8 *bytes = nullptr;
                const unsigned long length = element->getLength();
                const DcmEVR vr = element->getVR();
                if ((vr == EVR_OB || vr == EVR_UN) && element->getUint8Array(bytes).good() && bytes) {
                    const unsigned long wanted = std::min<unsigned long>(length, capacity);
                    for (unsigned long i = 0; i < wanted; i++) values[i] = bytes[i];
                    result = int64_t(length);
                } else if (element->getUint16Array(words).good() && words) {
                    const unsigned long wanted = std::min<unsigned long>(length / 2, capacity);
                    for (unsigned long i = 0; i < wanted; i++) values[i] = words[i];
                    result = int64_t(length / 2);
                }
            }
        }
    });
    return result;
}

int32_t medical_dicom_pixels(
    const medical_dicom *file, size_t maximum_pixels, medical_pixels *pixels, char *message) {
    return guarded(message, [&] {
        const Description d = describe(file, maximum_pixels);
        if (!file->syntax) {
            fail(MEDICAL_UNSUPPORTED, "(0002,0010) Transfer Syntax UID is %s", file->transfer_syntax.c_str());
        }
        *pixels = {
            d.shape.rows, d.shape.columns, d.frames, d.shape.samples, d.shape.bits_allocated, d.shape.bits_stored,
            d.shape.is_signed, file->pixels.is_encapsulated};
    });
}

int32_t medical_dicom_decode(
    const medical_dicom *file, size_t maximum_pixels, int32_t frame, int32_t *values, size_t capacity, int32_t *color,
    char *message) {
    return guarded(message, [&] {
        const Description d = describe(file, maximum_pixels);
        if (!file->syntax) {
            fail(MEDICAL_UNSUPPORTED, "(0002,0010) Transfer Syntax UID is %s", file->transfer_syntax.c_str());
        }
        if (frame < 0 || frame >= d.frames || capacity < d.shape.value_count()) {
            fail(MEDICAL_MALFORMED, "there is no frame %d, or no room for it", frame);
        }
        int32_t found = MEDICAL_COLOR_AS_NAMED;
        if (file->pixels.is_encapsulated) {
            found = decode_compressed(file, d, frame, values);
        } else {
            decode_native(file, d, frame, values);
            if (d.is_subsampled) found = MEDICAL_COLOR_AS_NAMED;
        }
        *color = found;
    });
}
