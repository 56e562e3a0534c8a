import Foundation
import Testing
import UniMedData

@Suite("Box as text")
struct NormalizedBoxTests {
    private struct Cases: Decodable {
        struct Box: Decodable {
            let image_width: Int
            let image_height: Int
            let xywh: [Double]
            let formatted: String
            let exact_integer_floor_xmin: Int?
        }
        let boxes: [Box]
        let box_float_traps: [Box]
    }

    // Skipped where the golden numbers are not there.
    @Test(.enabled(if: Golden.exists(Golden.textProcessing)))
    func `boxes are written as the published code writes them`() throws {
        let cases = try JSONDecoder().decode(Cases.self, from: Data(contentsOf: Golden.textProcessing))
        #expect(!cases.boxes.isEmpty && !cases.box_float_traps.isEmpty)
        for box in cases.boxes + cases.box_float_traps {
            let pixels = BoundingBox(
                xMin: box.xywh[0],
                yMin: box.xywh[1],
                xMax: box.xywh[0] + box.xywh[2],
                yMax: box.xywh[1] + box.xywh[3]
            )
            let normalized = NormalizedBox(pixels, width: box.image_width, height: box.image_height)
            #expect(normalized.text() == box.formatted)
            if let floor = box.exact_integer_floor_xmin { #expect(normalized.xMin != floor) }
            if !box.formatted.contains("-") {
                #expect(NormalizedBox(parsing: box.formatted, search: .publishedCode) == normalized)
                #expect(NormalizedBox(parsing: box.formatted) == normalized)
            }
        }
    }

    private struct Groundings: Decodable {
        struct Case: Decodable {
            let id: Int
            let answer: String
            let image_width: Int
            let image_height: Int
            let parsed: Bool
            let parsed_ints: [Int]?
            let pred_xyxy_pixels: [Double]?
        }
        let cases: [Case]
    }

    // Skipped where the golden numbers are not there.
    @Test(.enabled(if: Golden.exists(Golden.grounding)))
    func `answers are parsed as by the published evaluation`() throws {
        let groundings = try JSONDecoder().decode(Groundings.self, from: Data(contentsOf: Golden.grounding))
        #expect(groundings.cases.contains { $0.parsed } && groundings.cases.contains { !$0.parsed })
        for grounding in groundings.cases {
            let box = NormalizedBox(parsing: grounding.answer, search: .publishedCode)
            guard grounding.parsed else {
                #expect(box == nil, "case \(grounding.id)")
                continue
            }
            let found = try #require(box, "case \(grounding.id)")
            #expect([found.xMin, found.yMin, found.xMax, found.yMax] == grounding.parsed_ints, "case \(grounding.id)")
            let pixels = found.pixels(width: grounding.image_width, height: grounding.image_height)
            let edges = [pixels.xMin, pixels.yMin, pixels.xMax, pixels.yMax]
            #expect(edges == grounding.pred_xyxy_pixels, "case \(grounding.id)")
        }
    }

    @Test func `braces belong to the published code's style only`() {
        let box = NormalizedBox(xMin: 16, yMin: 36, xMax: 42, yMax: 61)
        #expect(box.text() == "{<16><36><42><61>}")
        #expect(box.text(.publishedCode) == "{<16><36><42><61>}")
        #expect(box.text(.paper) == "<16><36><42><61>")
    }

    @Test(arguments: [
        "{<16><36><42><61>}", "<16><36><42><61>", "The liver is at <16> <36> <42> <61>.", "< 16 ><36><42><61>",
        "<s> {<16><36><42><61>}</s>", "<16><bad> <16><36><42><61>",
    ])
    func `a box is found anywhere in both styles`(text: String) {
        #expect(NormalizedBox(parsing: text) == NormalizedBox(xMin: 16, yMin: 36, xMax: 42, yMax: 61))
    }

    @Test(arguments: [
        "", "no box", "<16><36><42>", "<16><36><42><>", "<-1><2><3><4>", "<1000><2><3><4>", "<1.5><2><3><4>",
    ])
    func `a text without a box gives none`(text: String) {
        #expect(NormalizedBox(parsing: text) == nil)
    }

    @Test(arguments: [
        ("{<1><2><3><4>}", true), (" { <1> <2><3><4> } and more", true), ("<unk>{<1><2><3><4>}", true),
        ("{<100><200><300><999>}", true), ("{<\u{0661}><2><3><4>}", true), ("<1><2><3><4>", false),
        ("at {<1><2><3><4>}", false), ("{<1><2>\t<3><4>}", false), ("{<1><2><3><4>", false), ("{", false), ("", false),
    ])
    func `the published search needs braces at the start`(text: String, found: Bool) {
        #expect((NormalizedBox(parsing: text, search: .publishedCode) != nil) == found)
    }

    @Test func `pixels and hundredths are derivable from each other`() {
        let box = NormalizedBox(xMin: 25, yMin: 50, xMax: 75, yMax: 100)
        let pixels = box.pixels(width: 640, height: 480)
        #expect(pixels == BoundingBox(xMin: 160, yMin: 240, xMax: 480, yMax: 480))
        #expect(NormalizedBox(pixels, width: 640, height: 480) == box)
    }
}

@Suite("Reference text processor")
struct ReferenceTextProcessorTests {
    private struct Cases: Decodable {
        struct Case: Decodable {
            let text: String
            let blip_caption_new: String
        }
        let text_processor: [Case]
        let max_words: Int
    }

    // Skipped where the golden numbers are not there.
    @Test(.enabled(if: Golden.exists(Golden.textProcessing)))
    func `texts come out as from the published code`() throws {
        let cases = try JSONDecoder().decode(Cases.self, from: Data(contentsOf: Golden.textProcessing))
        #expect(!cases.text_processor.isEmpty)
        let processor = ReferenceTextProcessor(maximumWordCount: cases.max_words)
        for text in cases.text_processor {
            #expect(Array(processor(text.text).unicodeScalars) == Array(text.blip_caption_new.unicodeScalars))
        }
    }

    @Test func `fifty words are kept, runs of blanks become one, single tabs stay`() {
        let processor = ReferenceTextProcessor()
        let long = (1...60).map(String.init).joined(separator: " ")
        #expect(processor(long) == (1...50).map(String.init).joined(separator: " "))
        #expect(processor("  a \t b\tc\n\n") == "a b\tc")
        #expect(processor("") == "")
        #expect(processor("\n \n") == "")
    }
}
