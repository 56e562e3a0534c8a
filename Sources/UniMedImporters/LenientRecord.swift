import Foundation
import UniMedData

/// Why something is left out.
struct Skip: Error {
    /// The words under which it is counted: the same for all things with the same fault.
    let reason: String
    /// Whether the data are at fault; if not, a rule of the importer leaves sound things out, such as a selection.
    let isFault: Bool

    init(_ reason: String) {
        self.reason = reason
        isFault = true
    }

    /// What a rule leaves out.
    init(rule reason: String) {
        self.reason = reason
        isFault = false
    }

    /// An object whose name another one in the image has: "the kidney" of two is no reference.
    static let notUnique = Skip(rule: "the name is not unique in the image")

    /// The reason of a record that does not decode, without the positions in lists, which differ from record to record.
    init(_ error: DataError) {
        guard let field = error.field else {
            self.init(error.problem)
            return
        }
        let parts = field.split(separator: "[").enumerated().map { number, part in
            guard number > 0 || field.hasPrefix("["), let end = part.firstIndex(of: "]") else { return String(part) }
            return String(part[part.index(after: end)...])
        }
        let name = parts.joined().trimmingCharacters(in: CharacterSet(charactersIn: "."))
        self.init(name.isEmpty ? error.problem : "field '\(name)': \(error.problem)")
    }
}

extension ImportReport {
    /// Notes that a thing was left out.
    mutating func skipped(_ kind: String, _ skip: Skip, item: String) {
        skipped(kind, because: skip.reason, item: item, isFault: skip.isFault)
    }

    /// Notes that a file of records was read to its end.
    mutating func read(file: String, isEmpty: Bool) {
        if isEmpty { skipped("file", because: "the file is empty", item: file) } else { imported(1, "file") }
    }
}

/// A record of a list that need not be one: the list is read to its end whatever it holds.
struct LenientRecord<Record: Decodable>: Decodable {
    let result: Result<Record, Skip>

    init(from decoder: any Decoder) {
        do {
            result = .success(try Record(from: decoder))
        } catch {
            result = .failure(Skip(DataError.decoding(error, file: nil)))
        }
    }
}

/// The members of a JSON object in the order of the file, those with the same name as well.
///
/// A dictionary would keep one of several records with the same name and lose the others silently. A member whose value
/// is no record is told as such and does not end the reading.
struct JSONMembers<Record: Decodable> {
    /// One member.
    struct Member {
        let name: String
        let result: Result<Record, Skip>
    }

    /// The members, the first of each name.
    private(set) var members: [Member] = []
    /// The names of the members whose name had been there before.
    private(set) var repeated: [String] = []

    /// Reads a file whose one value is an object.
    ///
    /// - Throws: ``DataError`` when the file cannot be read, is not UTF-8 text or no object.
    init(contentsOf url: URL) throws(DataError) {
        let bytes = [UInt8](try DataFile.read(url))
        var scanner = JSONObjectScanner(bytes: bytes)
        let decoder = JSONDecoder()
        var names: Set<String> = []
        scanner.skipByteOrderMark()
        guard scanner.begins(with: "{") else {
            let isOther = scanner.begins(withAny: "[\"-0123456789tfn")
            let problem = isOther ? "expected an object, found another type" : "not valid JSON"
            throw DataError(.malformed, problem, file: url.path)
        }
        guard let ranges = scanner.members() else { throw DataError(.malformed, "not valid JSON", file: url.path) }
        for (nameRange, valueRange) in ranges {
            guard let name = try? decoder.decode(String.self, from: Data(bytes[nameRange])) else {
                throw DataError(.malformed, "a name in it is not valid JSON", file: url.path)
            }
            guard names.insert(name).inserted else {
                repeated.append(name)
                continue
            }
            do {
                let record = try decoder.decode(Record.self, from: Data(bytes[valueRange]))
                members.append(Member(name: name, result: .success(record)))
            } catch {
                let skip = Skip(DataError.decoding(error, file: nil))
                members.append(Member(name: name, result: .failure(skip)))
            }
        }
    }
}

/// Finds where the members of a JSON object are; what their values hold is not looked at.
private struct JSONObjectScanner {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func skipByteOrderMark() {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        skipBlanks()
    }

    func begins(with character: Unicode.Scalar) -> Bool {
        position < bytes.count && bytes[position] == UInt8(ascii: character)
    }

    func begins(withAny characters: String) -> Bool {
        position < bytes.count && characters.utf8.contains(bytes[position])
    }

    /// The places of names and values; `nil` when the text is no object, or something follows it.
    mutating func members() -> [(name: Range<Int>, value: Range<Int>)]? {
        var members: [(Range<Int>, Range<Int>)] = []
        guard take("{") else { return nil }
        skipBlanks()
        if !take("}") {
            repeat {
                skipBlanks()
                guard let name = text() else { return nil }
                skipBlanks()
                guard take(":") else { return nil }
                skipBlanks()
                guard let value = value() else { return nil }
                members.append((name, value))
                skipBlanks()
            } while take(",")
            guard take("}") else { return nil }
        }
        skipBlanks()
        return position == bytes.count ? members : nil
    }

    private mutating func skipBlanks() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard begins(with: character) else { return false }
        position += 1
        return true
    }

    private mutating func text() -> Range<Int>? {
        let start = position
        guard take("\"") else { return nil }
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return start..<position
            case UInt8(ascii: "\\"): position += 2
            default: position += 1
            }
        }
        return nil
    }

    /// A value: up to the comma or bracket that ends it, with all brackets in it closed.
    private mutating func value() -> Range<Int>? {
        let start = position
        var depth = 0
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                guard text() != nil else { return nil }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return position > start ? start..<position : nil }
                depth -= 1
            case UInt8(ascii: ","):
                if depth == 0 { return position > start ? start..<position : nil }
            default: break
            }
            position += 1
        }
        return nil
    }
}
