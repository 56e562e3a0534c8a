import Torch

/// Reads the pickles that `torch.save` writes, and executes nothing that they name.
///
/// A pickle is a program for a stack machine which may name any function of Python and call it. This machine has only
/// the instructions that `torch.save` uses with plain values and tensors, and only the names below, each of which it
/// understands itself. Objects live in one array and refer to each other by index, so that neither deep nor circular
/// nor shared structures cost more than the bytes that describe them.
struct Unpickler {
    /// The deepest nesting of lists, tuples and dictionaries.
    static let maximumDepth = 64

    /// The most values in all containers, and in the resulting tree; a pickle can name one object many times.
    static let maximumValueCount = 4_000_000

    /// The most objects, memory cells and open values of a pickle, each: a checkpoint of a hundred thousand tensors needs
    /// less than half of it, and a short pickle of many one-byte instructions cannot fill the memory.
    static let maximumObjectCount = 2_000_000

    /// The longest name of a storage or device.
    static let maximumNameLength = 256

    private enum Global {
        case orderedDictionary
        case rebuildTensor
        case rebuildParameter
        case size
        case device
        case storage(DType)
        case name(String)
    }

    private enum Item {
        case none
        case bool(Bool)
        case int(Int)
        case double(Double)
        case string(String)
        case global(Global)
        case object(Int)
    }

    private enum Object {
        case list([Item])
        case tuple([Item])
        case dictionary([(key: Item, value: Item)])
        case tensor(ArchivedTensor)
        case storage(StorageRecord)
    }

    private let bytes: [UInt8]
    private let reader: StorageReader
    private var position = 0
    private var stack: [Item] = []
    private var marks: [Int] = []
    private var memo: [Int: Item] = [:]
    private var objects: [Object] = []
    private var containedCount = 0

    private init(bytes: [UInt8], reader: StorageReader) {
        self.bytes = bytes
        self.reader = reader
    }

    /// The value that a pickle describes.
    static func value(of bytes: [UInt8], reader: StorageReader) throws(CheckpointError) -> CheckpointValue {
        var position = 0
        return try value(of: bytes, from: &position, reader: reader)
    }

    /// The value that the next of several pickles describes.
    ///
    /// - Parameter position: Where it begins; afterwards, where it ended.
    static func value(
        of bytes: [UInt8],
        from position: inout Int,
        reader: StorageReader
    ) throws(CheckpointError) -> CheckpointValue {
        var unpickler = Unpickler(bytes: bytes, reader: reader)
        unpickler.position = position
        let root = try unpickler.run()
        position = unpickler.position
        var converter = Converter(objects: unpickler.objects, path: reader.path)
        return try converter.value(root, depth: 0).value
    }

    // MARK: Errors

    private func malformed(_ problem: String, expected: String? = nil, got: String? = nil) -> CheckpointError {
        CheckpointError(
            .malformed,
            file: reader.path,
            key: lastName,
            "the pickle is malformed at byte \(position): \(problem)",
            expected: expected,
            got: got
        )
    }

    /// The text that was pushed last: inside a state dictionary, the key of the tensor that is being read.
    private var lastName: String? {
        // "storage" begins every reference to a storage.
        for item in stack.suffix(16).reversed() {
            if case .string(let name) = item, name != "storage" { return name }
        }
        return nil
    }

    // MARK: Bytes

    private mutating func take(_ count: Int) throws(CheckpointError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= bytes.count - position else { throw malformed("it ends too early") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// An unsigned number in little-endian order.
    private mutating func number(_ byteCount: Int) throws(CheckpointError) -> UInt64 {
        try take(byteCount).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func line() throws(CheckpointError) -> String {
        guard let end = bytes[position...].firstIndex(of: 0x0A) else { throw malformed("it ends too early") }
        let text = try text(end - position)
        position += 1
        return text
    }

    private mutating func text(_ count: Int) throws(CheckpointError) -> String {
        guard let text = String(validating: try take(count), as: UTF8.self) else {
            throw malformed("a text is not UTF-8")
        }
        return text
    }

    // MARK: Stack

    private mutating func pop() throws(CheckpointError) -> Item {
        guard stack.count > (marks.last ?? 0), let item = stack.popLast() else { throw malformed("its stack is empty") }
        return item
    }

    private mutating func popToMark() throws(CheckpointError) -> [Item] {
        guard let mark = marks.popLast() else { throw malformed("a mark is missing") }
        let items = Array(stack[mark...])
        stack.removeSubrange(mark...)
        try count(items.count)
        return items
    }

    private mutating func pushTuple(_ count: Int) throws(CheckpointError) {
        guard stack.count - (marks.last ?? 0) >= count else { throw malformed("its stack is empty") }
        let items = Array(stack.suffix(count))
        stack.removeLast(count)
        try self.count(count)
        try push(.tuple(items))
    }

    /// Counts what goes into a container.
    private mutating func count(_ values: Int) throws(CheckpointError) {
        containedCount += values
        guard containedCount <= Self.maximumValueCount else { throw malformed("it has too many values") }
    }

    private mutating func push(_ object: Object) throws(CheckpointError) {
        guard objects.count < Self.maximumObjectCount else { throw malformed("it has too many objects") }
        try push(.object(objects.count))
        objects.append(object)
    }

    private mutating func push(_ item: Item) throws(CheckpointError) {
        guard stack.count < Self.maximumObjectCount else { throw malformed("it has too many open values") }
        stack.append(item)
    }

    private func topObject() throws(CheckpointError) -> Int {
        guard stack.count > (marks.last ?? 0), case .object(let index) = stack.last else {
            throw malformed("a value is put into something that is no list or dictionary")
        }
        return index
    }

    private mutating func append(_ items: [Item]) throws(CheckpointError) {
        let index = try topObject()
        guard case .list(var list) = objects[index] else {
            throw malformed("a value is put into something that is no list")
        }
        objects[index] = .tuple([])
        list.append(contentsOf: items)
        objects[index] = .list(list)
    }

    private mutating func set(_ items: [Item]) throws(CheckpointError) {
        let index = try topObject()
        guard case .dictionary(var entries) = objects[index], items.count.isMultiple(of: 2) else {
            throw malformed("entries are put into something that is no dictionary")
        }
        objects[index] = .tuple([])
        for pair in stride(from: 0, to: items.count, by: 2) { entries.append((items[pair], items[pair + 1])) }
        objects[index] = .dictionary(entries)
    }

    private mutating func remember(_ index: Int) throws(CheckpointError) {
        guard stack.count > (marks.last ?? 0), let top = stack.last else { throw malformed("its stack is empty") }
        guard memo.count < Self.maximumObjectCount else { throw malformed("it remembers too many values") }
        memo[index] = top
    }

    private mutating func recall(_ index: Int) throws(CheckpointError) {
        guard let item = memo[index] else { throw malformed("it names value \(index), which it never remembered") }
        try push(item)
    }

    // MARK: Instructions

    private mutating func run() throws(CheckpointError) -> Item {
        while true {
            let start = position
            switch UInt8(truncatingIfNeeded: try number(1)) {
            case 0x80:  // PROTO
                let version = try number(1)
                guard (2...5).contains(version) else {
                    throw malformed("an unknown version", expected: "2 to 5", got: "\(version)")
                }
            case 0x95: _ = try number(8)  // FRAME
            case UInt8(ascii: "."):  // STOP
                guard marks.isEmpty, stack.count == 1 else { throw malformed("it ends with an open value") }
                return try pop()
            case UInt8(ascii: "("):  // MARK
                guard marks.count < Self.maximumObjectCount else { throw malformed("it has too many open values") }
                marks.append(stack.count)
            case UInt8(ascii: "N"): try push(.none)
            case 0x88: try push(.bool(true))
            case 0x89: try push(.bool(false))
            case UInt8(ascii: "J"):  // BININT
                try push(.int(Int(Int32(truncatingIfNeeded: try number(4)))))
            case UInt8(ascii: "K"): try push(.int(Int(try number(1))))
            case UInt8(ascii: "M"): try push(.int(Int(try number(2))))
            case 0x8A: try push(.int(try long()))  // LONG1
            case UInt8(ascii: "G"):  // BINFLOAT, big-endian
                let pattern = try number(8)
                try push(.double(Double(bitPattern: pattern.byteSwapped)))
            case UInt8(ascii: "X"): try push(.string(try text(Int(clamping: try number(4)))))  // BINUNICODE
            case 0x8C: try push(.string(try text(Int(clamping: try number(1)))))  // SHORT_BINUNICODE
            case 0x8D: try push(.string(try text(Int(clamping: try number(8)))))  // BINUNICODE8
            case UInt8(ascii: "]"): try push(Object.list([]))
            case UInt8(ascii: "}"): try push(Object.dictionary([]))
            case UInt8(ascii: ")"): try push(Object.tuple([]))
            case 0x85: try pushTuple(1)
            case 0x86: try pushTuple(2)
            case 0x87: try pushTuple(3)
            case UInt8(ascii: "t"): try push(.tuple(try popToMark()))
            case UInt8(ascii: "a"):  // APPEND
                try count(1)
                try append([try pop()])
            case UInt8(ascii: "e"): try append(try popToMark())
            case UInt8(ascii: "s"):  // SETITEM
                let value = try pop()
                let key = try pop()
                try count(2)
                try set([key, value])
            case UInt8(ascii: "u"): try set(try popToMark())
            case UInt8(ascii: "q"): try remember(Int(try number(1)))
            case UInt8(ascii: "r"): try remember(Int(try number(4)))
            case 0x94: try remember(memo.count)  // MEMOIZE
            case UInt8(ascii: "h"): try recall(Int(try number(1)))
            case UInt8(ascii: "j"): try recall(Int(try number(4)))
            case UInt8(ascii: "c"):  // GLOBAL
                let module = try line()
                try push(.global(try global(module, try line())))
            case 0x93:  // STACK_GLOBAL
                guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
                    throw malformed("a name is not a text")
                }
                try push(.global(try global(module, name)))
            case UInt8(ascii: "Q"): try push(.storage(try storage(try pop())))  // BINPERSID
            case UInt8(ascii: "R"):  // REDUCE
                let arguments = try pop()
                try reduce(try pop(), arguments)
            case UInt8(ascii: "b"):  // BUILD: attributes of an OrderedDict, which are no entries
                guard case .object(let state) = try pop(), case .dictionary = objects[state],
                    case .dictionary = objects[try topObject()]
                else { throw malformed("it sets the state of something that is no dictionary") }
            case let code:
                position = start
                throw CheckpointError(
                    .unsupported,
                    file: reader.path,
                    key: lastName,
                    "the pickle has an instruction that torch.save does not need for tensors and plain values "
                        + "(code \(code) at byte \(start))"
                )
            }
        }
    }

    private mutating func long() throws(CheckpointError) -> Int {
        let count = Int(try number(1))
        guard count <= 8 else { throw malformed("a whole number of \(count) bytes") }
        if count == 0 { return 0 }
        let shift = UInt64(64 - 8 * count)
        return Int(Int64(bitPattern: try number(count) << shift) >> Int64(shift))
    }

    private func global(_ module: String, _ name: String) throws(CheckpointError) -> Global {
        switch (module, name) {
        case ("collections", "OrderedDict"): return .orderedDictionary
        case ("torch._utils", "_rebuild_tensor_v2"): return .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"): return .rebuildParameter
        case ("torch", "Size"): return .size
        case ("torch", "device"): return .device
        case ("torch", let name):
            if let dtype = Self.storageTypes[name] { return .storage(dtype) }
            if Self.scalarTypes.contains(name) { return .name("torch." + name) }
        default: break
        }
        throw CheckpointError(
            .unsupported,
            file: reader.path,
            key: lastName,
            "the pickle names '\(CheckpointError.shortened("\(module).\(name)"))', which is neither a tensor nor a plain "
                + "value; nothing was run"
        )
    }

    private static let storageTypes: [String: DType] = [
        "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
        "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
        "ByteStorage": .uint8, "BoolStorage": .bool,
    ]

    private static let scalarTypes: Set<String> = [
        "float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool",
    ]

    // MARK: Tensors

    private func elements(_ item: Item) -> [Item]? {
        guard case .object(let index) = item else { return nil }
        switch objects[index] {
        case .tuple(let items), .list(let items): return items
        default: return nil
        }
    }

    /// At most 64 non-negative numbers of a tuple, `nil` when it is something else.
    private func sizes(_ item: Item) -> [Int]? {
        guard let items = elements(item), items.count <= 64 else { return nil }
        var sizes: [Int] = []
        for item in items {
            guard case .int(let size) = item, size >= 0 else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    private func storage(_ identifier: Item) throws(CheckpointError) -> StorageRecord {
        guard var fields = elements(identifier) else {
            throw malformed("a reference to something that is no storage of a known type")
        }
        if reader.hasViewField, fields.count == 6 {
            guard case .none = fields.removeLast() else {
                throw malformed("a storage that is a part of another")
            }
        }
        guard fields.count == 5, case .string("storage") = fields[0],
            case .global(.storage(let dtype)) = fields[1], case .string(let key) = fields[2], case .string = fields[3],
            case .int(let count) = fields[4]
        else { throw malformed("a reference to something that is no storage of a known type") }
        guard key.utf8.count <= Self.maximumNameLength else {
            throw malformed("it names the storage '\(CheckpointError.shortened(key))', which the archive does not have")
        }
        let record = StorageRecord(key: key, dtype: dtype, count: count)
        do throws(StorageProblem) {
            try reader.check(record)
        } catch {
            switch error {
            case .missing:
                throw malformed(
                    "it names the storage '\(CheckpointError.shortened(key))', which the archive does not have"
                )
            case .size(let size):
                throw malformed(
                    "the storage '\(key)' does not have the size that the pickle says",
                    expected: "\(count) elements of \(dtype.rawValue)",
                    got: size.map { "\($0) bytes" }
                )
            }
        }
        return record
    }

    private func tensor(_ arguments: [Item]) throws(CheckpointError) -> ArchivedTensor {
        guard arguments.count >= 4, case .object(let index) = arguments[0], case .storage(let storage) = objects[index],
            case .int(let offset) = arguments[1], let shape = sizes(arguments[2]), let strides = sizes(arguments[3])
        else { throw malformed("a tensor without storage, offset, sizes and strides") }
        let place = "storage '\(storage.key)' with \(storage.count) elements"
        guard shape.count == strides.count, shape.count <= 64 else {
            throw malformed("a tensor with \(shape.count) sizes and \(strides.count) strides")
        }
        guard offset >= 0, offset <= storage.count else {
            throw malformed("a tensor begins outside its storage", expected: place, got: "offset \(offset)")
        }
        // The last element that is reached, and the number of elements: none may leave the storage.
        var last = offset
        var count = shape.contains(0) ? 0 : 1
        if count > 0 {
            for (size, stride) in zip(shape, strides) {
                let (product, tooMany) = count.multipliedReportingOverflow(by: size)
                let (reach, tooFar) = (size - 1).multipliedReportingOverflow(by: stride)
                let (end, beyond) = last.addingReportingOverflow(reach)
                guard !tooMany, product <= storage.count else {
                    throw malformed(
                        "a tensor has more elements than its storage",
                        expected: place,
                        got: "sizes \(shape)"
                    )
                }
                guard !tooFar, !beyond, end < storage.count else {
                    throw malformed(
                        "a tensor reaches outside its storage",
                        expected: place,
                        got: "offset \(offset), sizes \(shape), strides \(strides)"
                    )
                }
                count = product
                last = end
            }
            guard last < storage.count else {
                throw malformed("a tensor begins outside its storage", expected: place, got: "offset \(offset)")
            }
        }
        return ArchivedTensor(
            shape: shape,
            strides: strides,
            dtype: storage.dtype,
            offset: offset,
            storage: storage,
            reader: reader
        )
    }

    private mutating func reduce(_ function: Item, _ arguments: Item) throws(CheckpointError) {
        guard case .global(let function) = function, let arguments = elements(arguments) else {
            throw malformed("it calls something that is no known name")
        }
        switch function {
        case .orderedDictionary:
            guard arguments.isEmpty else { throw malformed("an OrderedDict with arguments") }
            try push(.dictionary([]))
        case .rebuildTensor: try push(.tensor(try tensor(arguments)))
        case .rebuildParameter:
            guard let first = arguments.first, case .object(let index) = first, case .tensor = objects[index] else {
                throw malformed("a parameter without a tensor")
            }
            try push(first)
        case .size:
            guard arguments.count == 1, let sizes = sizes(arguments[0]) else {
                throw malformed("a torch.Size of no sizes")
            }
            try push(.tuple(sizes.map(Item.int)))
        case .device:
            guard case .string(let type) = arguments.first, arguments.count <= 2,
                type.utf8.count <= Self.maximumNameLength
            else {
                throw malformed("a torch.device without a name")
            }
            if arguments.count == 2, case .int(let index) = arguments[1] {
                try push(.string("\(type):\(index)"))
            } else {
                try push(.string(type))
            }
        case .storage, .name: throw malformed("it calls something that cannot be called")
        }
    }

    // MARK: The tree

    private struct Converter {
        let objects: [Object]
        let path: String
        var finished: [Int: (value: CheckpointValue, count: Int)] = [:]
        var open: Set<Int> = []

        init(objects: [Object], path: String) {
            self.objects = objects
            self.path = path
        }

        func malformed(_ problem: String) -> CheckpointError {
            CheckpointError(.malformed, file: path, "the pickle is malformed: \(problem)")
        }

        /// The value, and the number of values in its tree.
        mutating func value(_ item: Item, depth: Int) throws(CheckpointError) -> (value: CheckpointValue, count: Int) {
            switch item {
            case .none: return (.none, 1)
            case .bool(let value): return (.bool(value), 1)
            case .int(let value): return (.int(value), 1)
            case .double(let value): return (.double(value), 1)
            case .string(let value): return (.string(value), 1)
            case .global(.name(let name)): return (.string(name), 1)
            case .global: throw malformed("a class or function where a value is expected")
            case .object(let index):
                if let known = finished[index] { return known }
                guard depth < Unpickler.maximumDepth else { throw malformed("nested too deeply") }
                guard open.insert(index).inserted else { throw malformed("a value contains itself") }
                let result = try object(objects[index], depth: depth + 1)
                open.remove(index)
                finished[index] = result
                return result
            }
        }

        mutating func object(_ object: Object, depth: Int) throws(CheckpointError) -> (CheckpointValue, Int) {
            switch object {
            case .tensor(let tensor): return (.tensor(tensor), 1)
            case .storage: throw malformed("a storage where a value is expected")
            case .list(let items):
                let (values, count) = try values(items, depth: depth)
                return (.list(values), count)
            case .tuple(let items):
                let (values, count) = try values(items, depth: depth)
                return (.tuple(values), count)
            case .dictionary(let pairs):
                let (values, count) = try values(pairs.map(\.value), depth: depth)
                var entries: [(key: CheckpointDictionary.Key, value: CheckpointValue)] = []
                entries.reserveCapacity(pairs.count)
                for (pair, value) in zip(pairs, values) {
                    switch pair.key {
                    case .string(let name): entries.append((.string(name), value))
                    case .int(let number): entries.append((.int(number), value))
                    default: throw malformed("a dictionary's key is neither a text nor a whole number")
                    }
                }
                do throws(CheckpointDictionary.DuplicateKey) {
                    return (.dictionary(try CheckpointDictionary(entries)), count)
                } catch {
                    throw CheckpointError(.malformed, file: path, key: "\(error.key)", "a key is there twice")
                }
            }
        }

        mutating func values(_ items: [Item], depth: Int) throws(CheckpointError) -> ([CheckpointValue], Int) {
            var values: [CheckpointValue] = []
            values.reserveCapacity(items.count)
            var total = 1
            for item in items {
                let (value, count) = try value(item, depth: depth)
                values.append(value)
                total += count
                guard total <= Unpickler.maximumValueCount else { throw malformed("it has too many values") }
            }
            return (values, total)
        }
    }
}
