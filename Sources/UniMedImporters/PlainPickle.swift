import Foundation
import UniMedData

/// A value of a pickle that holds plain data.
enum PickleValue: Equatable {
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case bytes([UInt8])
    case list([PickleValue])
    /// Keys in the order of the file.
    case dictionary([Pair])

    struct Pair: Equatable {
        let key: PickleValue
        let value: PickleValue
    }

    /// The value of a text key; of repeated keys the last, as in Python.
    subscript(key: String) -> PickleValue? {
        guard case .dictionary(let pairs) = self else { return nil }
        return pairs.last { $0.key == .text(key) }?.value
    }

    var text: String? { if case .text(let text) = self { text } else { nil } }
}

/// Reads pickles of plain data (lists, tuples, dictionaries, texts, numbers) of the binary protocols 1 to 5.
///
/// Nothing is ever executed: an operation that names a class or function is an error, not a call. Containers that are
/// referred to twice are refused, so that no pickle can hold itself, and nesting is limited.
struct PlainPickle {
    static let maximumDepth = 32

    private struct Item {
        var value: PickleValue
        /// The levels of containers in it.
        var depth: Int
        /// Whether it is a tuple, which does not grow.
        var isTuple = false
    }

    private let bytes: [UInt8]
    private var position = 0
    private var stack: [Item] = []
    private var marks: [Int] = []
    private var memo: [Int: Item?] = [:]

    /// Reads a file's one value.
    static func read(_ url: URL) throws(DataError) -> PickleValue {
        let data = try DataFile.read(url)
        do throws(DataError) {
            return try read([UInt8](data))
        } catch {
            throw DataError(error.kind, error.problem, file: url.path)
        }
    }

    /// Reads the one value in memory.
    static func read(_ bytes: [UInt8]) throws(DataError) -> PickleValue {
        var reader = PlainPickle(bytes: bytes)
        return try reader.run()
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func malformed(_ problem: String) -> DataError { DataError(.malformed, "not a sound pickle: \(problem)") }

    private mutating func run() throws(DataError) -> PickleValue {
        while true {
            let operation = try byte()
            switch operation {
            case 0x80: _ = try byte()  // PROTO
            case 0x95: _ = try bytes(8)  // FRAME
            case UInt8(ascii: "."):
                guard stack.count == 1, marks.isEmpty else { throw malformed("it does not end with one value") }
                return stack[0].value
            case UInt8(ascii: "("): marks.append(stack.count)
            case UInt8(ascii: "N"): push(.none)
            case 0x88: push(.boolean(true))
            case 0x89: push(.boolean(false))
            case UInt8(ascii: "J"): push(.integer(Int(Int32(truncatingIfNeeded: try integer(4)))))
            case UInt8(ascii: "K"): push(.integer(try integer(1)))
            case UInt8(ascii: "M"): push(.integer(try integer(2)))
            case 0x8A: push(.integer(try signedInteger(count: try integer(1))))
            case UInt8(ascii: "G"):
                let bits = try bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                push(.number(Double(bitPattern: bits)))
            case UInt8(ascii: "X"): push(.text(try text(try integer(4))))
            case 0x8C: push(.text(try text(try integer(1))))
            case 0x8D: push(.text(try text(try integer(8))))
            case UInt8(ascii: "U"): push(.text(try text(try integer(1))))  // text of Python 2
            case UInt8(ascii: "T"): push(.text(try text(try integer(4))))
            case UInt8(ascii: "C"): push(.bytes(Array(try bytes(try integer(1)))))
            case UInt8(ascii: "B"): push(.bytes(Array(try bytes(try integer(4)))))
            case UInt8(ascii: "]"), UInt8(ascii: ")"): stack.append(Item(value: .list([]), depth: 1))
            case UInt8(ascii: "}"): stack.append(Item(value: .dictionary([]), depth: 1))
            case UInt8(ascii: "l"), UInt8(ascii: "t"): try makeList(popMark())
            case 0x85, 0x86, 0x87: try makeList(pop(Int(operation) - 0x84))
            case UInt8(ascii: "d"):
                let items = try popMark()
                stack.append(Item(value: .dictionary([]), depth: 1))
                try set(items)
            case UInt8(ascii: "a"): try append(pop(1))
            case UInt8(ascii: "e"): try append(popMark())
            case UInt8(ascii: "s"): try set(pop(2))
            case UInt8(ascii: "u"): try set(popMark())
            case 0x94: try memorize(memo.count)
            case UInt8(ascii: "q"): try memorize(try integer(1))
            case UInt8(ascii: "r"): try memorize(try integer(4))
            case UInt8(ascii: "h"): try recall(try integer(1))
            case UInt8(ascii: "j"): try recall(try integer(4))
            case UInt8(ascii: "c"), UInt8(ascii: "R"), UInt8(ascii: "b"), UInt8(ascii: "i"), UInt8(ascii: "o"), 0x81,
                0x92, 0x93, 0x82, 0x83, 0x84, UInt8(ascii: "P"), UInt8(ascii: "Q"):
                throw DataError(.invalid, "the pickle asks for code to be run; only plain data are read")
            default:
                let code = String(operation, radix: 16)
                throw DataError(.invalid, "the pickle uses the operation 0x\(code), which is not read")
            }
        }
    }

    // MARK: - Operations

    private mutating func push(_ value: PickleValue) { stack.append(Item(value: value, depth: 0)) }

    private mutating func pop(_ count: Int) throws(DataError) -> [Item] {
        guard stack.count - (marks.last ?? 0) >= count else { throw malformed("a value is missing") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popMark() throws(DataError) -> [Item] {
        guard let mark = marks.popLast() else { throw malformed("a mark is missing") }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private func depth(around items: [Item]) throws(DataError) -> Int {
        let depth = 1 + (items.map(\.depth).max() ?? 0)
        guard depth <= Self.maximumDepth else { throw malformed("it is nested too deeply") }
        return depth
    }

    private mutating func makeList(_ items: [Item]) throws(DataError) {
        stack.append(Item(value: .list(items.map(\.value)), depth: try depth(around: items), isTuple: true))
    }

    private mutating func append(_ items: [Item]) throws(DataError) {
        let inner = try depth(around: items)
        guard stack.count > marks.last ?? 0, let last = stack.indices.last, case .list(var list) = stack[last].value
        else {
            throw malformed("only lists are appended to")
        }
        // The old value goes first, so that the list grows in place.
        stack[last].value = .none
        for item in items { list.append(item.value) }
        stack[last] = Item(value: .list(list), depth: max(stack[last].depth, inner))
    }

    private mutating func set(_ items: [Item]) throws(DataError) {
        let inner = try depth(around: items)
        guard items.count % 2 == 0 else { throw malformed("a key has no value") }
        guard stack.count > marks.last ?? 0, let last = stack.indices.last,
            case .dictionary(var pairs) = stack[last].value
        else { throw malformed("only dictionaries have keys") }
        stack[last].value = .none
        for index in stride(from: 0, to: items.count, by: 2) {
            pairs.append(PickleValue.Pair(key: items[index].value, value: items[index + 1].value))
        }
        stack[last] = Item(value: .dictionary(pairs), depth: max(stack[last].depth, inner))
    }

    private mutating func memorize(_ key: Int) throws(DataError) {
        guard let item = stack.last else { throw malformed("a value is missing") }
        switch item.value {
        // Containers may still grow; what they were at this moment is of no use.
        case .list where !item.isTuple, .dictionary: memo[key] = .some(nil)
        default: memo[key] = .some(item)
        }
    }

    private mutating func recall(_ key: Int) throws(DataError) {
        guard let entry = memo[key] else { throw malformed("it refers to a value that is not there") }
        guard let item = entry else {
            throw DataError(.invalid, "the pickle refers to a list or dictionary twice, which is not read")
        }
        stack.append(item)
    }

    // MARK: - Bytes

    private mutating func byte() throws(DataError) -> UInt8 {
        guard position < bytes.count else { throw malformed("it ends too early") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func bytes(_ count: Int) throws(DataError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= bytes.count - position else { throw malformed("it ends too early") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    private mutating func integer(_ count: Int) throws(DataError) -> Int {
        Int(truncatingIfNeeded: try bytes(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    private mutating func signedInteger(count: Int) throws(DataError) -> Int {
        guard count <= 8 else { throw DataError(.invalid, "the pickle holds an integer of more than 64 bits") }
        guard count > 0 else { return 0 }
        let shift = 64 - 8 * count
        return (try integer(count) << shift) >> shift
    }

    private mutating func text(_ count: Int) throws(DataError) -> String {
        guard let text = String(validating: try bytes(count), as: UTF8.self) else {
            throw malformed("a text is not UTF-8")
        }
        return text
    }
}
