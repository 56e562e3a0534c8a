import Foundation
import Testing
import UniMedData

@Suite("JSON lines")
struct JSONLinesTests {
    @Test func `samples read back equal, whatever their text`() throws {
        let folder = try TemporaryFolder()
        var samples = [
            makeSample("1", box: BoundingBox(xMin: 0.1, yMin: 1e-7, xMax: 1.0 / 3, yMax: 80), objectName: "liver"),
            makeSample("2", task: .questionAnswering, image: nil, choices: ["yes", "no"], answer: "yes"),
            makeSample("3 / \"quoted\" \\ line\nbreak \u{2028} \u{1F9EC}", answer: "37 °C ±0.5 \u{0}"),
        ]
        samples[1].fields = ["plane": "axial"]
        samples[1].group = "PMID"
        let url = folder.file("samples.jsonl")
        try JSONLines.write(samples, to: url)
        #expect(try JSONLines.read(Sample.self, from: url) == samples)
        #expect(try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).count == 3)
    }

    @Test func `equal records give equal bytes, with sorted keys`() throws {
        let folder = try TemporaryFolder()
        try JSONLines.write([makeSample("1")], to: folder.file("a"))
        try JSONLines.write([makeSample("1")], to: folder.file("b"))
        let text = try String(contentsOf: folder.file("a"), encoding: .utf8)
        #expect(text == (try String(contentsOf: folder.file("b"), encoding: .utf8)))
        #expect(text.hasPrefix(#"{"answer":"CT","dataset":"made","id":"1","image":{"height":80,"path":"a.png","#))
    }

    @Test func `annotations read back equal`() throws {
        let folder = try TemporaryFolder()
        let annotation = ImageAnnotation(
            dataset: "made",
            split: .validation,
            image: ImageReference(path: "x/y.png", width: 3, height: 4),
            objects: [NamedBox(name: "WBC", box: BoundingBox(xMin: 0, yMin: 0, xMax: 1, yMax: 2))],
            fields: ["modality": "MR"],
            text: "A report."
        )
        try JSONLines.write([annotation], to: folder.file("a"))
        #expect(try JSONLines.read(ImageAnnotation.self, from: folder.file("a")) == [annotation])
    }

    @Test func `empty lines, carriage returns and a missing last newline are accepted`() throws {
        let folder = try TemporaryFolder()
        try Data("\n{\"a\":1}\r\n  \n{\"a\":2}".utf8).write(to: folder.file("a"))
        #expect(try JSONLines.read([String: Int].self, from: folder.file("a")) == [["a": 1], ["a": 2]])
        var lines: [Int] = []
        try JSONLines.forEach([String: Int].self, in: folder.file("a")) { _, line in lines.append(line) }
        #expect(lines == [2, 4])
    }

    @Test(arguments: [
        (#"{"id":"1"}"#, "field 'dataset': missing"),
        (#"{"id":1,"dataset":"d"}"#, "field 'id': expected text, found another type"),
        (#"{"id":"1","dataset":"d","split":"dev"}"#, "field 'split'"),
        (
            #"{"id":"1","dataset":"d","split":"train","task":"rec","image":{"path":"p","width":"9"}}"#,
            "field 'image.width': expected an integer, found another type"
        ),
        (#"{"id":"1""#, "not valid JSON"),
        ("no JSON at all", "not valid JSON"),
        (#"["a list"]"#, "expected an object, found another type"),
    ])
    func `a bad record is named by file, line and field`(text: String, expected: String) throws {
        let folder = try TemporaryFolder()
        let url = folder.file("samples.jsonl")
        try JSONLines.write([makeSample("1")], to: url)
        try (Data(contentsOf: url) + Data("\n\(text)\n".utf8)).write(to: url)
        let error = try #require(dataError { _ = try JSONLines.read(Sample.self, from: url) })
        #expect(error.kind == .malformed)
        #expect(error.line == 3)
        #expect(error.description.hasPrefix("\(url.path), line 3"))
        #expect(error.description.contains(expected), "\(error)")
    }

    @Test func `a missing file and a folder in its place are said to be so`() throws {
        let folder = try TemporaryFolder()
        let missing = try #require(dataError { _ = try JSONLines.read(Sample.self, from: folder.file("none")) })
        #expect(missing.kind == .missing)
        let isFolder = try #require(dataError { _ = try JSONLines.read(Sample.self, from: folder.url) })
        #expect(isFolder.description.contains("expected a file, found a folder"))
    }
}
