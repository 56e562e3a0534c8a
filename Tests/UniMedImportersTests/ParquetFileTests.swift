import Foundation
import Testing
import UniMedData
import UniMedImporters

/// Files that pyarrow wrote, and what is in them: `scripts/fixtures/parquet`.
enum ParquetFixture {
    struct Row: Decodable {
        let bytes: String?
        let path: String?
        let question: String?
        let answer: String?
        let small: Int64?
        let large: Int64?
        let flag: Bool?

        var picture: Data? {
            bytes.map { text in
                let digits = Array(text.utf8).map { $0 > 57 ? $0 - 87 : $0 - 48 }
                return Data(stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
            }
        }
    }

    static let forms = [
        "none-plain-v1", "none-dictionary-v2", "snappy-dictionary-v1", "snappy-plain-v2", "gzip-plain-v1",
        "gzip-dictionary-v2", "zstd-dictionary-v1", "zstd-plain-v2",
    ]

    static func url(_ name: String, _ ending: String = "parquet") -> URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/parquet/\(name).\(ending)")
    }

    static func rows() throws -> [Row] {
        try JSONDecoder().decode([Row].self, from: Data(contentsOf: url("expected", "json")))
    }
}

@Suite("Parquet files")
struct ParquetFileTests {
    private func values(_ file: ParquetFile, _ column: Int) throws -> [ParquetValue] {
        var values: [ParquetValue] = []
        for group in file.groupRowCounts.indices {
            try file.chunk(column: column, group: group).forEach { values.append($0) }
        }
        return values
    }

    @Test(arguments: ParquetFixture.forms)
    func `every value that pyarrow wrote is read`(form: String) throws {
        let file = try ParquetFile(contentsOf: ParquetFixture.url(form))
        let rows = try ParquetFixture.rows()
        #expect(file.rowCount == rows.count && file.groupRowCounts == [20, 10])
        func text(_ text: String?) -> ParquetValue { text.map { .bytes(Array($0.utf8)) } ?? .null }
        func number(_ number: Int64?) -> ParquetValue { number.map { .integer($0) } ?? .null }
        #expect(
            try values(file, file.column("image", "bytes"))
                == rows.map { $0.picture.map { .bytes([UInt8]($0)) } ?? .null }
        )
        #expect(try values(file, file.column("image", "path")) == rows.map { text($0.path) })
        #expect(try values(file, file.column("question")) == rows.map { text($0.question) })
        #expect(try values(file, file.column("answer")) == rows.map { text($0.answer) })
        #expect(try values(file, file.column("small")) == rows.map { number($0.small) })
        #expect(try values(file, file.column("large")) == rows.map { number($0.large) })
        #expect(try values(file, file.column("flag")) == rows.map { $0.flag.map { .boolean($0) } ?? .null })
    }

    @Test(arguments: ParquetFixture.forms)
    func `a row is found without the pages before it`(form: String) throws {
        let file = try ParquetFile(contentsOf: ParquetFixture.url(form))
        let rows = try ParquetFixture.rows()
        let chunk = try file.chunk(column: file.column("question"), group: 0)
        #expect(chunk.pageCount > 1)
        for row in 0..<chunk.rowCount {
            let place = chunk.place(ofRow: row)
            #expect(try chunk.page(place.page)[place.index].text == rows[row].question)
        }
    }

    @Test func `columns that are not there are named`() throws {
        let file = try ParquetFile(contentsOf: ParquetFixture.url("sound"))
        let error = #expect(throws: DataError.self) { _ = try file.column("image") }
        #expect(error?.field == "image" && error?.description.contains("image.bytes") == true)
    }

    @Test func `a file that is cut off anywhere is refused`() throws {
        let folder = try MadeFolder()
        let whole = try Data(contentsOf: ParquetFixture.url("snappy-plain-v2"))
        for length in stride(from: 0, to: whole.count, by: 13) {
            try folder.write(whole.prefix(length), to: "cut.parquet")
            let error = #expect(throws: DataError.self) { _ = try ParquetFile(contentsOf: folder.file("cut.parquet")) }
            #expect(error?.kind == .malformed && error?.file == folder.file("cut.parquet").path)
        }
    }

    @Test(arguments: ["snappy-dictionary-v1", "zstd-plain-v2", "gzip-plain-v1", "none-dictionary-v2"])
    func `a damaged byte is an error or another value, and never more rows`(form: String) throws {
        let folder = try MadeFolder()
        let whole = try Data(contentsOf: ParquetFixture.url(form))
        var refused = 0
        for index in stride(from: 4, to: whole.count, by: 7) {
            var damaged = whole
            damaged[index] ^= 1 << UInt8(index % 8)
            try folder.write(damaged, to: "d.parquet")
            do throws(DataError) {
                let file = try ParquetFile(contentsOf: folder.file("d.parquet"))
                for column in file.columns.indices {
                    for group in file.groupRowCounts.indices {
                        var count = 0
                        try file.chunk(column: column, group: group).forEach { _ in count += 1 }
                        #expect(count == file.groupRowCounts[group])
                    }
                }
            } catch {
                refused += 1
                #expect(error.file == folder.file("d.parquet").path)
            }
        }
        #expect(refused > 20)
    }
}
