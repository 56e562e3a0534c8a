import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN

@Suite("Loading weights")
struct WeightLoadingTests {
    final class Pair: Module {
        let first: Linear
        let second: Linear
        let names: (String, String)

        init(names: (String, String) = ("first", "second"), builder: WeightBuilder = WeightBuilder()) throws(TorchError)
        {
            first = try Linear(3, 2, builder: builder)
            second = try Linear(2, 2, bias: false, builder: builder)
            self.names = names
        }

        var members: [ModuleMember] { [.module(names.0, first), .module(names.1, second)] }
    }

    /// A file of the module's weights, changed by `change`.
    static func source(_ change: (inout [String: Tensor]) throws -> Void = { _ in }) throws -> any WeightSource {
        var tensors: [String: Tensor] = [
            "first.weight": try Tensor((0..<6).map(Float.init), shape: [2, 3]),
            "first.bias": try Tensor([7, 8] as [Float]),
            "second.weight": try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2]),
        ]
        try change(&tensors)
        return try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            try SafetensorsFile.write(tensors.map { ($0.key, $0.value) }, to: url)
            return try SafetensorsFile(contentsOf: url)
        }
    }

    @Test func `every weight gets its values and keeps type and memory`() throws {
        let module = try Pair()
        let memory = try module.first.weight.value.detach()
        let report = try loadWeights(
            into: module,
            from: Self.source { tensors in
                for (key, tensor) in tensors { tensors[key] = try tensor.to(.float16) }
            }
        )
        #expect(report.loadedCount == 3)
        #expect(report.dropped.isEmpty && report.missing.isEmpty)
        #expect(module.first.weight.value.dtype == .float32)
        #expect(try module.first.weight.value.array() == [0, 1, 2, 3, 4, 5] as [Float])
        #expect(try module.first.bias?.value.array() == [7, 8] as [Float])
        #expect(try module.second.weight.value.array() == [1, 2, 3, 4] as [Float])
        #expect(memory.sharesStorage(with: module.first.weight.value))
        #expect(module.first.weight.value.requiresGradient)
    }

    @Test func `names are mapped, dropped and allowed to be missing`() throws {
        let module = try Pair(names: ("encoder", "decoder"))
        let before: [Float] = try module.first.bias.map { try $0.value.array() } ?? []
        let report = try loadWeights(
            into: module,
            from: Self.source { tensors in
                tensors["rotary"] = try Tensor.zeros([4])
                tensors["first.bias"] = nil
            },
            mapping: ["rotary": nil, "first.**": "encoder.**", "second.**": "decoder.**"],
            allowedMissing: ["encoder.bias"]
        )
        #expect(report.loadedCount == 2)
        #expect(report.dropped == ["rotary"])
        #expect(report.missing == ["encoder.bias"])
        #expect(try module.first.bias?.value.array() == before)
    }

    @Test func `all that does not fit is one error with counts and names, and nothing changes`() throws {
        let module = try Pair()
        let before: [Float] = try module.first.weight.value.array()
        let source = try Self.source { tensors in
            tensors["first.bias"] = nil
            tensors["second.weight"] = try Tensor.zeros([1, 2])
            for index in 0..<7 { tensors["extra.\(index)"] = try Tensor.zeros([1]) }
        }
        let error = #expect(throws: CheckpointError.self) { try loadWeights(into: module, from: source) }
        #expect(error?.kind == .mismatch)
        #expect(error?.file == source.path)
        let text = error?.description ?? ""
        #expect(text.contains("1 missing: 'first.bias'"))
        #expect(text.contains("7 unexpected: ") && text.contains("and 2 more"))
        #expect(
            text.contains("1 of another shape or type: 'second.weight (expected float32[2, 2], got float32[1, 2])'")
        )
        #expect(try module.first.weight.value.array() == before)
    }

    @Test func `whole numbers do not become fractions`() throws {
        let source = try Self.source { $0["first.bias"] = try Tensor([1, 2] as [Int]) }
        #expect(throws: CheckpointError.self) { try loadWeights(into: Pair(), from: source) }
    }

    @Test func `two tensors for one weight are an error`() throws {
        let source = try Self.source { $0["copy.weight"] = $0["second.weight"] }
        let error = #expect(throws: CheckpointError.self) {
            try loadWeights(into: Pair(), from: source, mapping: ["copy.**": "second.**", "**": "**"])
        }
        #expect(error?.description.contains("another tensor sets too") == true)
    }

    @Test func `weights without memory come to the device`() throws {
        let module = try Pair(builder: WeightBuilder(device: .meta))
        try module.second.freeze()
        let source = try Self.source()
        try loadWeights(into: module, from: source)
        #expect(module.first.weight.value.device == .cpu)
        #expect(try module.second.weight.value.array() == [1, 2, 3, 4] as [Float])
        // A frozen weight shares the file's memory, a trained one has its own.
        try module.second.weight.value.fill(9)
        #expect(try source.tensor(named: "second.weight").array() == [9, 9, 9, 9] as [Float])
        #expect(module.first.weight.value.requiresGradient)
        #expect(!module.second.weight.value.requiresGradient)
        try withoutGradients { _ = try module.first.weight.value.detach().fill(5) }
        #expect(try source.tensor(named: "first.weight").array() == [0, 1, 2, 3, 4, 5] as [Float])
    }

    @Test func `saved weights come back`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "module.safetensors")
            let map: KeyMap = ["model.**": "**"]
            let module = try Pair()
            try module.second.freeze()
            try saveWeights(of: module, mapping: map, metadata: ["step": "3"], to: url)
            let file = try SafetensorsFile(contentsOf: url)
            #expect(Set(file.keys) == ["model.first.weight", "model.first.bias", "model.second.weight"])
            #expect(file.metadata == ["step": "3"])
            let other = try Pair()
            try loadWeights(into: other, from: file, mapping: map)
            for (a, b) in zip(module.namedParameters(), other.namedParameters()) {
                #expect(try a.parameter.value.isEqual(to: b.parameter.value))
            }
            try saveWeights(of: module, trainableOnly: true, to: url)
            #expect(Set(try SafetensorsFile(contentsOf: url).keys) == ["first.weight", "first.bias"])
        }
    }

    @Test func `plain tensors are set in place`() throws {
        let tensor = try Tensor.zeros([2, 2]).requireGradient()
        let source = try Self.source { tensors in tensors = ["w": try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])] }
        try loadWeights(into: [(name: "w", tensor: tensor)], from: source)
        #expect(try tensor.array() == [1, 2, 3, 4] as [Float])
    }
}
