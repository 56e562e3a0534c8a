import Testing
import Torch

@Suite("Tensors")
struct TensorTests {
    @Test func `values go in and come out in row-major order`() throws {
        let tensor = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        #expect(tensor.shape == [2, 3])
        #expect(tensor.strides == [3, 1])
        #expect(tensor.rank == 2 && tensor.count == 6 && tensor.byteCount == 24)
        #expect(tensor.size(-1) == 3)
        #expect(tensor.dtype == .float32 && tensor.device == .cpu)
        #expect(try tensor.transpose(0, 1).array(of: Float.self) == [1, 4, 2, 5, 3, 6])
        #expect(try !tensor.transpose(0, 1).isContiguous)
    }

    @Test func `every Swift element type keeps its values`() throws {
        #expect(try Tensor([0, 255] as [UInt8]).array(of: UInt8.self) == [0, 255])
        #expect(try Tensor([-5, 7] as [Int32]).array(of: Int32.self) == [-5, 7])
        #expect(try Tensor([.min, .max] as [Int]).array(of: Int.self) == [.min, .max])
        #expect(try Tensor([1.5, -.infinity] as [Float]).array(of: Float.self) == [1.5, -.infinity])
        #expect(try Tensor([.pi] as [Double]).array(of: Double.self) == [.pi])
        #expect(try Tensor([true, false]).array(of: Bool.self) == [true, false])
    }

    @Test(arguments: DType.allCases)
    func `small whole numbers survive every element type`(dtype: DType) throws {
        let values: [Float] = dtype == .bool ? [0, 1, 1] : [0, 1, 100]
        let cast = try Tensor(values).to(dtype)
        #expect(cast.dtype == dtype)
        #expect(cast.byteCount == 3 * dtype.byteCount)
        #expect(try cast.to(.float32).array(of: Float.self) == values)
    }

    @Test func `narrow floats round as they should`() throws {
        // 1 + 2^-8 is halfway between two bfloat16 numbers and goes to the even one; float16 holds it.
        let value = try Tensor([1.00390625] as [Float])
        #expect(try value.to(.bfloat16).to(.float32).array(of: Float.self) == [1])
        #expect(try value.to(.float16).to(.float32).array(of: Float.self) == [1.00390625])
        #expect(try Tensor([70_000] as [Float]).to(.float16).to(.float32).array(of: Float.self) == [.infinity])
    }

    @Test func `reading as another element type is an error`() throws {
        let error = try #require(throws: TorchError.self) { try Tensor([1] as [Float]).array(of: Int.self) }
        #expect(error.description.contains("array(float32[1])"))
        #expect(error.description.contains("int64"))
    }

    @Test func `a count that does not fit the shape is an error`() throws {
        let error = try #require(throws: TorchError.self) { try Tensor([1, 2, 3] as [Float], shape: [2, 2]) }
        #expect(error.description.contains("16 bytes"))
    }

    @Test func `an item is one element only`() throws {
        #expect(try Tensor([2.5] as [Float]).item() == 2.5)
        #expect(throws: TorchError.self) { try Tensor([1, 2] as [Float]).item() }
    }

    @Test func `creation fills as asked`() throws {
        #expect(try Tensor.zeros([2]).array(of: Float.self) == [0, 0])
        #expect(try Tensor.ones([2], dtype: .int64).array(of: Int.self) == [1, 1])
        #expect(try Tensor.full([], 7).item() == 7)
        #expect(try Tensor.arange(1, 7, step: 2).array(of: Int.self) == [1, 3, 5])
        #expect(try Tensor.empty([0, 3]).count == 0)
        #expect(try Tensor.empty([1 << 20, 1 << 20], device: .meta).count == 1 << 40)
        #expect(throws: TorchError.self) { try Tensor.zeros([-1]) }
    }

    @Test func `equality is of shapes and of all elements`() throws {
        let tensor = try Tensor([1, 2] as [Float])
        #expect(try tensor.isEqual(to: Tensor([1, 2] as [Float])))
        #expect(try !tensor.isEqual(to: Tensor([1, 3] as [Float])))
        #expect(try !tensor.isEqual(to: Tensor([1, 2] as [Float], shape: [2, 1])))
    }

    @Test func `bytes are read without copying when they are on the host`() throws {
        let tensor = try Tensor([1, 2, 3] as [Float])
        let first = try tensor.withHostBytes { Int(bitPattern: $0.baseAddress) }
        let second = try tensor.narrow(0, start: 1, length: 2).withHostBytes { bytes in
            #expect(bytes.count == 8)
            #expect(bytes.loadUnaligned(as: Float.self) == 2)
            return Int(bitPattern: bytes.baseAddress)
        }
        #expect(second == first + 4)
        // A transposed matrix is not in row-major order: its bytes are put in order first.
        let matrix = try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
        try matrix.transpose(0, 1).withHostBytes { bytes in
            #expect(Array(bytes.bindMemory(to: Float.self)) == [1, 3, 2, 4])
        }
    }

    @Test func `views share memory and copies do not`() throws {
        let tensor = try Tensor.zeros([4])
        let view = try tensor.narrow(0, start: 2, length: 2)
        #expect(view.sharesStorage(with: tensor))
        try view.fill(5)
        #expect(try tensor.array(of: Float.self) == [0, 0, 5, 5])
        let copy = try tensor.clone()
        #expect(!copy.sharesStorage(with: tensor))
        try copy.copy(from: Tensor([9, 9, 9, 9] as [Int32]))
        #expect(try copy.array(of: Float.self) == [9, 9, 9, 9])
        #expect(try tensor.array(of: Float.self) == [0, 0, 5, 5])
    }
}

/// Owns memory for a tensor and counts how often it ends.
private final class MemoryOwner {
    final class Counter { var count = 0 }

    let memory = UnsafeMutablePointer<Float>.allocate(capacity: 6)
    private let ended: Counter

    init(_ ended: Counter) {
        self.ended = ended
        for index in 0..<6 { memory[index] = Float(index) }
    }

    deinit {
        memory.deallocate()
        ended.count += 1
    }
}

@Suite("Wrapped memory")
struct WrappedMemoryTests {
    @Test func `the owner lives as long as the last tensor that uses its memory`() throws {
        let ended = MemoryOwner.Counter()
        var view: Tensor?
        do {
            let owner = MemoryOwner(ended)
            let tensor = try Tensor(memory: owner.memory, shape: [2, 3], dtype: .float32, owner: owner)
            owner.memory[4] = 40
            #expect(try tensor.array(of: Float.self) == [0, 1, 2, 3, 40, 5])
            view = try tensor.select(0, 1)
        }
        #expect(ended.count == 0)
        #expect(try view?.array(of: Float.self) == [3, 40, 5])
        view = nil
        #expect(ended.count == 1)
    }

    @Test func `strides reach through the memory`() throws {
        let ended = MemoryOwner.Counter()
        do {
            let owner = MemoryOwner(ended)
            let tensor = try Tensor(
                memory: owner.memory,
                shape: [3, 2],
                strides: [1, 3],
                dtype: .float32,
                owner: owner
            )
            #expect(try tensor.array(of: Float.self) == [0, 3, 1, 4, 2, 5])
        }
        #expect(ended.count == 1)
    }

    @Test func `a refused wrapping ends the owner exactly once`() throws {
        let ended = MemoryOwner.Counter()
        do {
            let owner = MemoryOwner(ended)
            #expect(throws: TorchError.self) {
                try Tensor(memory: owner.memory, shape: [-2], dtype: .float32, owner: owner)
            }
            #expect(ended.count == 0)
        }
        #expect(ended.count == 1)
    }

    @Test func `a graph that needs the memory keeps it`() throws {
        let ended = MemoryOwner.Counter()
        let weight = try Tensor.ones([6]).requireGradient()
        var loss: Tensor?
        do {
            let owner = MemoryOwner(ended)
            let input = try Tensor(memory: owner.memory, shape: [6], dtype: .float32, owner: owner)
            loss = try (weight * input).sum()
        }
        #expect(ended.count == 0)
        try loss?.backward()
        #expect(try weight.gradient?.array(of: Float.self) == [0, 1, 2, 3, 4, 5])
        loss = nil
        #expect(ended.count == 1)
    }
}
