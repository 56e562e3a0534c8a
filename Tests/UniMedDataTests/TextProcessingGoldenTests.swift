import Foundation
import Testing
import UniMedData

/// The parts of `golden/eval/text_processing` that go through this room; its prompts are tested with the tasks and the
/// tokenizers.
@Suite(
    "Text processing against the reference",
    .enabled(if: Golden.exists(Golden.textProcessing), "no text_processing cases under UNIMED_GOLDEN")
)
struct TextProcessingGoldenTests {
    private struct Cases: Decodable {
        struct Text: Decodable {
            let text: String
            let processed: String
            let wordCount: Int
            let otherProcessor: String

            enum CodingKeys: String, CodingKey {
                case text
                case processed = "blip_caption_new"
                case wordCount = "words_after_split_on_single_space"
                case otherProcessor = "blip_caption_not_used"
            }
        }

        struct Box: Decodable {
            let object: String
            let objectProcessed: String
            let formatted: String
            let identifyQuestion: String
            let referQuestion: String

            enum CodingKeys: String, CodingKey {
                case object, formatted
                case objectProcessed = "object_processed"
                case identifyQuestion = "identify_question"
                case referQuestion = "refer_question"
            }
        }

        struct Mask: Decodable {
            struct Expected: Decodable {
                let xywh: [Double]
                let formatted: String
            }

            let key: String
            let height: Int
            let width: Int
            let inclusive: Expected?
            let exclusive: Expected?

            enum CodingKeys: String, CodingKey {
                case key, height, width
                case inclusive = "inclusive_last_pixel"
                case exclusive = "exclusive_end"
            }
        }

        let texts: [Text]
        let boxes: [Box]
        let masks: [Mask]
        let maximumWordCount: Int

        enum CodingKeys: String, CodingKey {
            case boxes, masks
            case texts = "text_processor"
            case maximumWordCount = "max_words"
        }
    }

    private let cases: Cases
    private let processor: ReferenceTextProcessor

    init() throws {
        cases = try JSONDecoder().decode(Cases.self, from: Data(contentsOf: Golden.textProcessing))
        processor = ReferenceTextProcessor(maximumWordCount: cases.maximumWordCount)
    }

    @Test func `as many words are left, and case and punctuation stay`() {
        #expect(cases.texts.contains { $0.processed != $0.otherProcessor })
        for text in cases.texts {
            let processed = processor(text.text)
            let words = processed.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false)
            #expect(words.count == text.wordCount)
            #expect(Array(processed.utf8) == Array(text.processed.utf8))
        }
    }

    @Test func `names of objects are processed before they are asked for`() {
        #expect(cases.boxes.contains { $0.object != $0.objectProcessed })
        for box in cases.boxes {
            let object = processor(box.object)
            #expect(Array(object.utf8) == Array(box.objectProcessed.utf8))
            #expect("[refer] give me the location of \(object)" == box.referQuestion)
            #expect("[identify] what object is in this location \(box.formatted)" == box.identifyQuestion)
        }
    }

    @Test func `boxes of masks are written with and without the last pixel`() throws {
        let file = Golden.textProcessing.deletingLastPathComponent().appending(path: "masks.safetensors")
        let masks = try MaskFile(contentsOf: file)
        #expect(!cases.masks.isEmpty)
        for mask in cases.masks {
            let pixels = try #require(masks.pixels(mask.key), "\(mask.key)")
            #expect(pixels.count == mask.width * mask.height)
            for (extent, expected) in [
                (BoundingBox.MaskExtent.inclusiveLastPixel, mask.inclusive), (.exclusiveEnd, mask.exclusive),
            ] {
                let box = BoundingBox(mask: pixels, width: mask.width, extent: extent)
                #expect((box == nil) == (expected == nil), "\(mask.key)")
                guard let box, let expected else { continue }
                #expect([box.xMin, box.yMin, box.width, box.height] == expected.xywh, "\(mask.key)")
                let text = NormalizedBox(box, width: mask.width, height: mask.height).text()
                #expect(text == expected.formatted, "\(mask.key)")
            }
        }
    }
}

/// The bytes of a safetensors file of masks.
private struct MaskFile {
    private struct Entry: Decodable {
        let dtype: String
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype
            case offsets = "data_offsets"
        }
    }

    private let entries: [String: Entry]
    private let values: Data

    init(contentsOf file: URL) throws {
        let data = try Data(contentsOf: file)
        let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        entries = try JSONDecoder().decode([String: Entry].self, from: data.dropFirst(8).prefix(length))
        values = Data(data.dropFirst(8 + length))
    }

    func pixels(_ key: String) -> [UInt8]? {
        guard let entry = entries[key], entry.dtype == "U8", entry.offsets.count == 2 else { return nil }
        return [UInt8](values[entry.offsets[0]..<entry.offsets[1]])
    }
}
