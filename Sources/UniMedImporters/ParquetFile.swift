package import Foundation
package import UniMedData

/// A Parquet file, of which one page of one column is decoded at a time.
///
/// Read are columns without lists whose values are BOOLEAN, INT32, INT64 or BYTE_ARRAY, also inside structures and with
/// nulls; data pages of both versions; PLAIN, dictionaries and, for BOOLEAN, RLE; no compression, Snappy, gzip and
/// Zstandard. That is what the writers of data sets of pictures and texts use. Everything else is refused by name.
/// Every length is checked against what holds it, and nothing in a file decides how much memory is taken beyond
/// ``maximumPageSize`` and ``maximumPageValues``.
package final class ParquetFile: Sendable {
    /// A column that holds values.
    package struct Column: Sendable, Equatable {
        /// The names of the structures it is in and its own, for example `image` and `bytes`.
        package let path: [String]
        let type: ParquetType?
        /// The definition level of a value that is there.
        let definitionLevel: Int
        /// Whether it is, or is inside, a list.
        let isRepeated: Bool
    }

    /// Where a column's values of a group of rows are.
    struct ChunkPlace: Sendable {
        let codec: Int
        let valueCount: Int
        let range: Range<Int>
    }

    /// A group of rows.
    struct Group: Sendable {
        let rowCount: Int
        let chunks: [ChunkPlace]
    }

    /// The most bytes that a page may have, compressed or not.
    package static let maximumPageSize = 1 << 28
    /// The most values that a page may have.
    package static let maximumPageValues = 1 << 20
    private static let maximumFooterSize = 1 << 23
    private static let magic = Array("PAR1".utf8)

    /// The columns, in the order of the file.
    package let columns: [Column]
    let groups: [Group]
    let path: String
    let data: Data

    /// Opens a file and reads its footer.
    ///
    /// - Throws: `DataError` with the path.
    package init(contentsOf url: URL) throws(DataError) {
        path = url.path
        guard FileManager.default.fileExists(atPath: path) else {
            throw DataError(.missing, "no such file", file: path)
        }
        do {
            data = try Data(contentsOf: url, options: .mappedIfSafe)
        } catch {
            throw DataError(.fileSystem, "cannot be read: \(error.localizedDescription)", file: path)
        }
        let path = path
        let outcome: Result<([Column], [Group]), DataError> = data.withUnsafeBytes { bytes in
            do throws(ParquetProblem) {
                return .success(try Self.footer(bytes))
            } catch {
                return .failure(error.dataError(path))
            }
        }
        (columns, groups) = try outcome.get()
    }

    /// The number of rows.
    package var rowCount: Int { groups.reduce(0) { $0 + $1.rowCount } }

    /// The number of rows of each group.
    package var groupRowCounts: [Int] { groups.map(\.rowCount) }

    /// The position of a column.
    ///
    /// - Throws: `DataError` when there is none, or it cannot be read.
    package func column(_ names: String...) throws(DataError) -> Int {
        let name = names.joined(separator: ".")
        guard let index = columns.firstIndex(where: { $0.path == names }) else {
            let there = columns.map { $0.path.joined(separator: ".") }.joined(separator: ", ")
            throw DataError(.missing, "no such column; there are \(there)", file: path, field: name)
        }
        return index
    }

    /// A column's values of a group of rows.
    ///
    /// - Throws: `DataError` that names the column, when its pages are not where the footer says or of a kind that is not
    ///   read.
    package func chunk(column: Int, group: Int) throws(DataError) -> ParquetChunk {
        do throws(ParquetProblem) {
            return try ParquetChunk(self, column: column, group: group)
        } catch {
            throw error.dataError(path, column: columns[column].path)
        }
    }

    // MARK: - The footer

    private static func footer(_ bytes: UnsafeRawBufferPointer) throws(ParquetProblem) -> ([Column], [Group]) {
        guard bytes.count >= 12, bytes.prefix(4).elementsEqual(magic), bytes.suffix(4).elementsEqual(magic) else {
            throw ParquetProblem("not a Parquet file, or one that is cut off")
        }
        let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt32.self)))
        guard length <= bytes.count - 12, length <= maximumFooterSize else {
            throw ParquetProblem("the footer's length is not sensible")
        }
        let end = bytes.count - 8
        var reader = ThriftReader(bytes, from: end - length, to: end)
        let metadata = try reader.structure()
        let columns = try columns(of: try metadata.list(2))
        let claimed = try metadata.int(3)
        var groups: [Group] = []
        var total = 0
        for value in try metadata.list(4) {
            let group = try group(value, columns: columns, dataEnd: end - length)
            groups.append(group)
            total += group.rowCount
        }
        guard total == claimed else { throw ParquetProblem("the groups have \(total) rows, the file \(claimed)") }
        return (columns, groups)
    }

    private static func columns(of elements: [ThriftValue]) throws(ParquetProblem) -> [Column] {
        guard let root = elements.first else { throw ParquetProblem("the schema is empty") }
        var columns: [Column] = []
        var next = 1
        /// Reads the children of an element; structures of sane depth only.
        func read(_ count: Int, path: [String], level: Int, isRepeated: Bool) throws(ParquetProblem) {
            guard path.count < 16 else { throw ParquetProblem("the schema is too deep") }
            for _ in 0..<count {
                guard next < elements.count else { throw ParquetProblem("the schema ends too early") }
                let element = try elements[next].structure()
                next += 1
                let repetition = try element.int(3, default: 0)
                guard (0...2).contains(repetition) else { throw ParquetProblem("the schema has an unknown repetition") }
                let inner = path + [try element.text(4)]
                let innerLevel = level + (repetition == 0 ? 0 : 1)
                let children = try element.int(5, default: 0)
                guard children >= 0, children <= elements.count else { throw ParquetProblem("the schema is damaged") }
                if children > 0 {
                    try read(children, path: inner, level: innerLevel, isRepeated: isRepeated || repetition == 2)
                } else {
                    columns.append(
                        Column(
                            path: inner,
                            type: ParquetType(rawValue: try element.int(1)),
                            definitionLevel: innerLevel,
                            isRepeated: isRepeated || repetition == 2
                        )
                    )
                }
            }
        }
        let children = try root.structure().int(5, default: 0)
        guard children >= 0, children <= elements.count else { throw ParquetProblem("the schema is damaged") }
        try read(children, path: [], level: 0, isRepeated: false)
        guard next == elements.count else { throw ParquetProblem("the schema has elements that belong to nothing") }
        return columns
    }

    private static func group(
        _ value: ThriftValue,
        columns: [Column],
        dataEnd: Int
    ) throws(ParquetProblem) -> Group {
        let group = try value.structure()
        let rowCount = try group.int(3)
        guard rowCount >= 0, rowCount <= Int(Int32.max) else { throw ParquetProblem("a group has \(rowCount) rows") }
        let list = try group.list(1)
        guard list.count == columns.count else { throw ParquetProblem("a group has other columns than the schema") }
        var chunks: [ChunkPlace] = []
        for (column, value) in zip(columns, list) {
            let chunk = try value.structure()
            guard chunk[1] == nil else { throw ParquetProblem("a column is in another file") }
            guard let inner = chunk[3] else { throw ParquetProblem("a column has no description") }
            let metadata = try inner.structure()
            var names: [String] = []
            for name in try metadata.list(3) { names.append(try name.text()) }
            guard names == column.path, try metadata.int(1) == column.type?.rawValue ?? -1 || column.type == nil else {
                throw ParquetProblem("a group has other columns than the schema")
            }
            let dictionary = try metadata.int(11, default: 0)
            let pages = try metadata.int(9)
            // Some writers say 0 where there is no dictionary.
            let start = dictionary > 0 ? min(dictionary, pages) : pages
            let length = try metadata.int(7)
            guard start >= 4, length >= 0, start <= dataEnd, length <= dataEnd - start else {
                throw ParquetProblem("a column's pages are outside the file")
            }
            let count = try metadata.int(5)
            guard column.isRepeated || count == rowCount else {
                throw ParquetProblem("a column has \(count) values for \(rowCount) rows")
            }
            chunks.append(
                ChunkPlace(codec: try metadata.int(4), valueCount: count, range: start..<start + length)
            )
        }
        return Group(rowCount: rowCount, chunks: chunks)
    }
}

/// The types of values, by Parquet's numbers.
enum ParquetType: Int, Sendable {
    case boolean = 0
    case int32 = 1
    case int64 = 2
    case int96 = 3
    case float = 4
    case double = 5
    case byteArray = 6
    case fixedLengthByteArray = 7
}

/// Why a file cannot be read; the reader of a file adds its path and the column.
struct ParquetProblem: Error {
    let text: String
    /// Whether the file may be sound and is of a kind that is not read.
    let isUnsupported: Bool

    init(_ text: String, isUnsupported: Bool = false) {
        self.text = text
        self.isUnsupported = isUnsupported
    }

    func dataError(_ path: String, column: [String]? = nil) -> DataError {
        DataError(isUnsupported ? .invalid : .malformed, text, file: path, field: column?.joined(separator: "."))
    }
}
