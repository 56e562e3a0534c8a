import CTorch
import Testing
import Torch

@Suite("Autograd")
struct AutogradTests {
    @Test func `gradients of simple functions are the calculus'`() throws {
        let x = try Tensor([1, 2, 3] as [Float]).requireGradient()
        try (x * x * x).sum().backward()
        #expect(try close(#require(x.gradient), [3, 12, 27]))
        // Another backward pass adds to what is there.
        try (x * 2).sum().backward()
        #expect(try close(#require(x.gradient), [5, 14, 29]))
        try x.setGradient(nil)
        #expect(x.gradient == nil)
    }

    @Test func `a backward pass starts from a given derivative`() throws {
        let x = try Tensor([1, 2] as [Float]).requireGradient()
        try (x * 3).backward(gradient: Tensor([10, 100] as [Float]))
        #expect(try close(#require(x.gradient), [30, 300]))
    }

    @Test func `a product's gradients are products`() throws {
        let (a, b) = (try random([2, 3], seed: 8).requireGradient(), try random([3, 4], seed: 9).requireGradient())
        try a.matmul(b).sum().backward()
        let ones = try Tensor.ones([2, 4])
        #expect(try close(#require(a.gradient), ones.matmul(b.detach().transpose(0, 1)).array(of: Float.self)))
        #expect(try close(#require(b.gradient), a.detach().transpose(0, 1).matmul(ones).array(of: Float.self)))
    }

    @Test func `asked-for gradients leave the leaves alone`() throws {
        let x = try Tensor([2] as [Float]).requireGradient()
        let y = try Tensor([5] as [Float]).requireGradient()
        let gradients = try Tensor.gradients(of: [x * x], withRespectTo: [x, y])
        #expect(try close(#require(gradients[0]), [4]))
        #expect(gradients[1] == nil)
        #expect(x.gradient == nil)
    }

    @Test func `nothing is recorded without gradients`() throws {
        let x = try Tensor([1] as [Float]).requireGradient()
        #expect(isRecordingGradients)
        let y = try withoutGradients {
            #expect(!isRecordingGradients)
            return try x * 2
        }
        #expect(isRecordingGradients)
        #expect(!y.requiresGradient)
        #expect(try (x * 2).requiresGradient)
        #expect(try !x.detach().requiresGradient)
    }

    @Test func `recording is on again after an error`() throws {
        #expect(throws: TorchError.self) { try withoutGradients { try Tensor.ones([2]).reshape(3) } }
        #expect(isRecordingGradients)
    }

    @Test func `a graph is used up by its backward pass unless it is kept`() throws {
        let x = try Tensor([3] as [Float]).requireGradient()
        let loss = try (x * x).sum()
        try loss.backward(retainingGraph: true)
        try loss.backward()
        #expect(try close(#require(x.gradient), [12]))
        let error = try #require(throws: TorchError.self) { try loss.backward() }
        #expect(error.operation == "backward")
    }

    @Test func `changing a recorded leaf in place is refused`() throws {
        let x = try Tensor([1] as [Float]).requireGradient()
        #expect(throws: TorchError.self) { try x.fill(2) }
        try withoutGradients { try x.fill(2) }
        #expect(try x.detach().array(of: Float.self) == [2])
    }
}

@Suite("Optimizer kernels")
struct OptimizerKernelTests {
    @Test func `the total norm is over all tensors and scaling reaches all`() throws {
        let tensors = [try Tensor([3] as [Float]), try Tensor([0, 4] as [Float])]
        #expect(try OptimizerKernel.totalNorm(tensors).item() == 5)
        try OptimizerKernel.scale(tensors, by: Tensor.full([], 0.5))
        #expect(try OptimizerKernel.totalNorm(tensors).item() == 2.5)
        #expect(try OptimizerKernel.totalNorm([]).item() == 0)
    }
}

@Suite("Random numbers")
struct GeneratorTests {
    @Test func `a seed determines the stream`() throws {
        let (first, second) = (try random([100], seed: 42), try random([100], seed: 42))
        #expect(try first.isEqual(to: second))
        #expect(try !first.isEqual(to: random([100], seed: 43)))
    }

    @Test func `a restored state continues the stream bit for bit`() throws {
        let generator = try Generator(seed: 1)
        _ = try Tensor.normal([33], generator: generator)
        let state = try generator.state()
        let uninterrupted = try Tensor.empty([50]).fillUniform(0, 1, generator: generator)
        let other = try Generator(seed: 99)
        try other.restore(state)
        #expect(try Tensor.empty([50]).fillUniform(0, 1, generator: other).isEqual(to: uninterrupted))
    }

    @Test func `a generator of its own does not touch the standard one`() throws {
        let own = try Generator(seed: 3)
        let numbers = try Tensor.normal([20], generator: own)
        try own.seed(3)
        _ = try Tensor.normal([20])
        #expect(try Tensor.normal([20], generator: own).isEqual(to: numbers))
    }

    @Test func `a state that is none is refused`() throws {
        #expect(throws: TorchError.self) { try Generator(seed: 1).restore(Tensor([1, 2, 3] as [UInt8])) }
    }

    @Test func `numbers have the distribution asked for`() throws {
        let normal = try Tensor.normal([40_000], mean: 2, deviation: 3, generator: Generator(seed: 5))
        let mean = try normal.mean().item()
        let deviation = try (normal - mean).power(2).mean().sqrt().item()
        // Five standard errors.
        #expect(abs(mean - 2) < 0.075 && abs(deviation - 3) < 0.055)
        let uniform = try Tensor.empty([40_000]).fillUniform(-1, 3, generator: Generator(seed: 6))
        #expect(try uniform.maximum().item() < 3 && (-uniform).maximum().item() <= 1)
        #expect(abs(try uniform.mean().item() - 1) < 0.03)
    }
}

@Suite("Runtime and devices")
struct RuntimeTests {
    @Test func `the version is LibTorch's`() {
        #expect(Runtime.version.split(separator: ".").count >= 2)
    }

    @Test func `the thread count can be set and is checked`() throws {
        let before = Runtime.threadCount
        #expect(before > 0)
        try Runtime.setThreadCount(before)
        #expect(Runtime.threadCount == before)
        let error = try #require(throws: TorchError.self) { try Runtime.setThreadCount(0) }
        #expect(error.description.contains("must be positive, got 0"))
    }

    @Test func `device names are read strictly`() {
        #expect(Device("cpu") == .cpu)
        #expect(Device("cuda") == .cuda(0))
        #expect(Device("cuda:3") == .cuda(3))
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CPU"] {
            #expect(Device(text) == nil, "\(text)")
        }
        #expect(Device.cuda(3).description == "cuda:3")
    }

    @Test(.enabled(if: !Runtime.hasCUDA, "the LibTorch in use has CUDA"))
    func `asking for CUDA without it is a clear error`() throws {
        let error = try #require(throws: TorchError.self) { try Device.cuda(0).requireAvailable() }
        #expect(error.description.contains("cuda:0") && error.description.contains("TORCH_HOME"))
        #expect(throws: TorchError.self) { try Tensor.zeros([1], device: .cuda(0)) }
        #expect(throws: TorchError.self) { try Device.cuda(0).memory() }
    }

    @Test(.enabled(if: Runtime.hasCUDA, "the LibTorch in use finds no CUDA device"))
    func `a CUDA device computes what the CPU does`() throws {
        try Device.cuda(0).requireAvailable()
        #expect(throws: TorchError.self) { try Device.cuda(1000).requireAvailable() }
        let (a, b) = (try random([8, 16], seed: 1), try random([16, 4], seed: 2))
        let product = try a.to(.cuda(0)).matmul(b.to(.cuda(0)))
        #expect(product.device == .cuda(0))
        // The device may round products to fewer bits than the CPU does.
        #expect(try close(product.to(.cpu), a.matmul(b).array(of: Float.self), within: 1e-2))
        try Device.cuda(0).synchronize()
        #expect(try Device.cuda(0).memory().current > 0)
        #expect(throws: TorchError.self) { try a + product }
    }

    @Test(.enabled(if: Runtime.hasCUDA, "the LibTorch in use finds no CUDA device"))
    func `a batch reaches a CUDA device whole although its copy is not waited for`() throws {
        let device = Device.cuda(0)
        // Work that keeps the device busy while the copies are queued and their sources go.
        let busy = try random([2048, 2048], seed: 1).to(device)
        var sum = busy
        for _ in 0..<20 { sum = try sum.matmul(busy) * 1e-3 }
        let copies = try (0..<50).map { try Tensor([Int](repeating: $0, count: 10_000)).to(device) }
        for (index, copy) in copies.enumerated() {
            #expect(try copy.array(of: Int.self).allSatisfy { $0 == index })
        }
        // What is recorded keeps its way back.
        let x = try random([4], seed: 2).requireGradient()
        try (x.to(device) * 3).sum().backward()
        #expect(try close(#require(x.gradient), [3, 3, 3, 3]))
    }

    @Test(.enabled(if: Runtime.hasCUDA, "the LibTorch in use finds no CUDA device"))
    func `peaks of a CUDA device's memory start anew when asked to`() throws {
        let device = Device.cuda(0)
        _ = try Tensor.zeros([64 << 20], device: device)
        #expect(try device.memory().peak >= 256 << 20)
        try Runtime.emptyCache()
        try device.resetPeakMemory()
        let memory = try device.memory()
        #expect(memory.peak == memory.current && memory.peakReserved == memory.reserved)
    }

    @Test func `TensorFloat-32 is off until it is allowed`() {
        #expect(!Runtime.allowsTF32)
        defer { Runtime.setAllowsTF32(false) }
        Runtime.setAllowsTF32(true)
        #expect(Runtime.allowsTF32)
        Runtime.setAllowsTF32(false)
        #expect(!Runtime.allowsTF32)
    }

    @Test func `the CPU is always there and has no memory figures`() throws {
        try Device.cpu.requireAvailable()
        try Device.cpu.synchronize()
        #expect(throws: TorchError.self) { try Device.cpu.memory() }
        #expect(throws: TorchError.self) { try Device.cpu.resetPeakMemory() }
    }

    @Test func `mixed devices are refused`() throws {
        #expect(throws: TorchError.self) { try Tensor.ones([2, 2], device: .meta).array(of: Float.self) }
    }
}

@Suite("C interface")
struct CInterfaceTests {
    @Test(arguments: [
        (Int32(0), CT_ERROR, "a failure for a test"), (1, CT_ERROR, "a failure for a test"),
        (2, CT_UNKNOWN_ERROR, "an exception that is not a std::exception"), (3, CT_OUT_OF_MEMORY, "bad_alloc"),
    ])
    func `every kind of exception becomes a status and a message`(kind: Int32, status: Int, message: String) {
        #expect(Int(ct_fail_for_test(kind)) == status)
        #expect(String(cString: ct_last_error()).contains(message))
    }

    @Test func `a failure leaves the out-parameter untouched`() throws {
        let tensor = try Tensor.ones([2])
        let shape = [5]
        var out: CTTensorRef? = tensor.handle
        #expect(Int(ct_reshape(tensor.handle, shape, 1, &out)) == CT_ERROR)
        #expect(out == tensor.handle)
    }
}
