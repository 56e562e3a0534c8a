import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTokenizers

@Suite("Volumes in the model")
struct VolumeTests {
    private static func configuration(_ volume: VolumeConfiguration?) -> UniMedConfiguration {
        var configuration = TinyModel.configuration()
        configuration.volume = volume
        return configuration
    }

    private func encoder(_ configuration: UniMedConfiguration) -> PromptEncoder {
        PromptEncoder(
            tokenizer: ByteTokenizer(),
            imageTokenCount: configuration.imageTokenCount,
            volume: configuration.volume
        )
    }

    private func positions(_ count: Int, of total: Int = 20) -> [SlicePosition] {
        let volume = VolumeReference(slices: total, spacing: 2)
        return (0..<count).map { SlicePosition(slice: $0 * total / count, of: volume) }
    }

    /// A prompt of an image (`nil`), or of a volume with so many chosen slices.
    private func prompt(_ slices: Int?, _ configuration: UniMedConfiguration) throws -> EncodedPrompt {
        try encoder(configuration).training(
            task: .visualQuestionAnswering,
            instruction: "Where?",
            answer: "there",
            hasImage: true,
            slices: slices.map { positions($0) } ?? []
        )
    }

    private func batch(
        _ slices: [Int?],
        _ configuration: UniMedConfiguration,
        features: Tensor,
        roundsSizes: Bool = false
    ) throws -> PromptBatch {
        try PromptBatch(
            slices.map { try prompt($0, configuration) },
            features: features,
            imageTokenCount: configuration.imageTokenCount,
            roundsSizes: roundsSizes
        )
    }

    /// Everything that the model takes from a prompt, row by row.
    private func rows(_ slices: [Int?], _ model: UniMed, _ features: Tensor, rounds: Bool = false) throws -> [Tensor] {
        let batch = try batch(slices, model.configuration, features: features, roundsSizes: rounds)
        let embeddings = try model.embeddings(of: batch).embeddings
        var start = 0
        return try batch.layout.lengths.map { length in
            defer { start += length }
            return try embeddings.narrow(0, start: start, length: length)
        }
    }

    // MARK: Exactness

    @Test(arguments: VolumeConfiguration.PositionCode.allCases)
    func `a volume of one slice has the tokens of an image, bit for bit`(code: VolumeConfiguration.PositionCode) throws
    {
        let volume = VolumeConfiguration(slices: 8, tokens: 16, position: code, heads: 3)
        let model = try TinyModel.make(Self.configuration(volume))
        let features = try TinyModel.features(count: 1)
        let image = try rows([nil], model, features)[0]
        #expect(try rows([1], model, features)[0].isEqual(to: image))
        // A model that knows nothing of volumes says the same of the image.
        let plain = try TinyModel.make(Self.configuration(nil))
        for (name, parameter) in plain.namedParameters() {
            let own = try #require(model.namedParameters().first { $0.name == name })
            try parameter.load(own.parameter.value)
        }
        #expect(try rows([nil], plain, features)[0].isEqual(to: image))
    }

    @Test(arguments: [false, true])
    func `images and volumes in one batch do not change each other`(rounds: Bool) throws {
        let model = try TinyModel.make(Self.configuration(VolumeConfiguration(slices: 8, tokens: 8, heads: 2)))
        let features = try TinyModel.features(count: 11)
        let mixed = try rows([nil, 7, 1, 2], model, features, rounds: rounds)
        var start = 0
        for (slices, row) in zip([nil, 7, 1, 2] as [Int?], mixed) {
            let count = slices ?? 1
            let alone = try rows([slices], model, features.narrow(0, start: start, length: count))[0]
            try expectClose(row, alone, tolerance: 2e-5, "prompt of \(count) pictures")
            start += count
        }
    }

    /// One slab pooled by hand: place by place, head by head.
    private func pooled(
        _ slices: [[Float]],
        query: [Float],
        heads: Int,
        places: Int,
        width: Int
    ) -> [Float] {
        var result = [Float](repeating: 0, count: places * width)
        let part = width / heads
        for place in 0..<places {
            for head in 0..<heads {
                let scores = slices.map { slice in
                    (0..<part).reduce(Float(0)) {
                        $0 + slice[place * width + head * part + $1] * query[head * part + $1]
                    } / Float(part).squareRoot()
                }
                let top = scores.max() ?? 0
                let exponents = scores.map { exp($0 - top) }
                let total = exponents.reduce(0, +)
                for (slice, weight) in zip(slices, exponents) {
                    for channel in 0..<part {
                        let index = place * width + head * part + channel
                        result[index] += weight / total * slice[index]
                    }
                }
            }
        }
        return result
    }

    @Test func `slabs are pooled as the textbook says`() throws {
        // Without a position code, and with the connector replaced by what comes before it: its input is compared.
        let volume = VolumeConfiguration(slices: 5, tokens: 8, position: .none, heads: 3)
        var configuration = Self.configuration(volume)
        configuration.connector = .linear
        let model = try TinyModel.make(configuration)
        let features = try TinyModel.features(count: 5)
        let aggregated = try configuration.resampler(features)
        let (places, width) = (4, 48)
        let slices = try (0..<5).map { try aggregated.select(0, $0).array(of: Float.self) }
        let query = try #require(model.slicePooling).query.value.array(of: Float.self)
        // Five slices in two slabs: two, then three.
        let first = pooled(Array(slices[0..<2]), query: query, heads: 3, places: places, width: width)
        let second = pooled(Array(slices[2..<5]), query: query, heads: 3, places: places, width: width)
        let expected = try model.connector(Tensor(first + second, shape: [2, places, width]), tasks: [0, 0]).aligned
        let prompt = try prompt(5, configuration)
        let row = try rows([5], model, features)[0]
        let start = try #require(prompt.tokens.firstIndex(of: EncodedPrompt.imageSlot))
        let image = try row.narrow(0, start: start, length: 8)
        try expectClose(image, try expected.reshape(8, -1), tolerance: 1e-4, "slabs")
    }

    @Test func `a new model takes the mean of a slab's slices`() throws {
        let volume = VolumeConfiguration(slices: 4, position: .none)
        let model = try UniMed(Self.configuration(volume))
        let features = try TinyModel.features(count: 4)
        let mean = try features.mean(0, keepingDimensions: true)
        let (volumes, image) = (try rows([4], model, features)[0], try rows([nil], model, mean)[0])
        try expectClose(volumes, image, tolerance: 1e-5, "mean")
    }

    @Test(arguments: [
        (VolumeConfiguration.PositionCode.sinusoidal, VolumeConfiguration.PositionUnit.relative),
        (.sinusoidal, .millimetres), (.learned, .relative), (.none, .relative),
    ])
    func `only a position code tells the order of slices within a slab`(
        code: VolumeConfiguration.PositionCode,
        unit: VolumeConfiguration.PositionUnit
    ) throws {
        let volume = VolumeConfiguration(slices: 4, position: code, positionUnit: unit)
        let model = try TinyModel.make(Self.configuration(volume))
        let features = try TinyModel.features(count: 4)
        let forward = try rows([4], model, features)[0]
        let backward = try rows([4], model, features.flip(0))[0]
        let difference = try (forward - backward).abs().maximum().item()
        #expect(code == .none ? difference < 1e-4 : difference > 1e-3)
    }

    // MARK: Prompts

    @Test func `a volume has as many places as its slabs have tokens`() throws {
        let configuration = Self.configuration(VolumeConfiguration(slices: 16, tokens: 12))
        for (slices, places) in [(nil, 4), (1, 4), (2, 8), (3, 12), (4, 12), (16, 12)] as [(Int?, Int)] {
            let prompt = try prompt(slices, configuration)
            #expect(prompt.tokens.count { $0 == EncodedPrompt.imageSlot } == places)
            #expect(prompt.slices.count == slices ?? 0)
        }
        let evaluation = try encoder(configuration).evaluation(
            task: .reportGeneration,
            instruction: "x",
            hasImage: true,
            slices: positions(5)
        )
        #expect(evaluation.tokens.count { $0 == EncodedPrompt.imageSlot } == 12 && evaluation.slices.count == 5)
    }

    @Test func `features that do not fit the slices are refused`() throws {
        let configuration = Self.configuration(VolumeConfiguration(slices: 8, tokens: 8))
        for count in [1, 4, 6] {
            #expect(throws: TorchError.self) {
                try batch([5], configuration, features: TinyModel.features(count: count))
            }
        }
        var prompt = try prompt(5, configuration)
        prompt.slices = []
        #expect(throws: TorchError.self) {
            try PromptBatch([prompt], features: TinyModel.features(count: 1), imageTokenCount: 4)
        }
        let plain = try TinyModel.make(Self.configuration(nil))
        let volumes = try batch([5], configuration, features: TinyModel.features(count: 5))
        #expect(throws: TorchError.self) { try plain.embeddings(of: volumes) }
    }

    @Test func `routing weights are those of images, a volume's the mean of its slabs'`() throws {
        let model = try TinyModel.make(Self.configuration(VolumeConfiguration(slices: 8, tokens: 8)))
        let features = try TinyModel.features(count: 6)
        for rounds in [false, true] {
            let batch = try batch([nil, 5], model.configuration, features: features, roundsSizes: rounds)
            let weights = try #require(try model.embeddings(of: batch).routingWeights)
            #expect(weights.shape == [2, 4, 3])
            try expectClose(try weights.sum(2), try Tensor.ones([2, 4]), tolerance: 1e-5, "weights")
        }
    }

    // MARK: Training

    @Test(arguments: [VolumeConfiguration.PositionCode.sinusoidal, .learned])
    func `what volumes add is trained, by volumes alone`(code: VolumeConfiguration.PositionCode) throws {
        let volume = VolumeConfiguration(slices: 8, tokens: 8, position: code, heads: 4)
        let model = try TinyModel.make(Self.configuration(volume))
        let names = model.trainableParameters().map(\.name).filter { $0.hasPrefix("volume_pooling.") }
        let position = code == .learned ? "position_table" : "position_gain"
        #expect(names == ["volume_pooling.query", "volume_pooling.\(position)"])
        func gradients() throws -> [Double?] {
            try model.trainableParameters().filter { names.contains($0.name) }.map { _, parameter in
                try parameter.value.gradient?.abs().sum().item()
            }
        }
        try model.loss(batch([nil], model.configuration, features: TinyModel.features(count: 1))).loss.backward()
        #expect(try gradients().allSatisfy { $0 == nil })
        try model.loss(batch([6, nil], model.configuration, features: TinyModel.features(count: 7))).loss.backward()
        #expect(try gradients().allSatisfy { ($0 ?? 0) > 0 })
    }

    @Test func `a model of images has no weights for volumes`() throws {
        let model = try TinyModel.make(Self.configuration(nil))
        #expect(model.slicePooling == nil)
        #expect(!model.namedParameters().contains { $0.name.hasPrefix("volume") })
    }

    // MARK: Settings

    private func problem(_ json: String) -> (field: String, text: String)? {
        do {
            _ = try JSONDecoder().decode(UniMedConfiguration.self, from: Data(json.utf8))
            return nil
        } catch DecodingError.dataCorrupted(let context) {
            return (context.codingPath.map(\.stringValue).joined(separator: "."), context.debugDescription)
        } catch {
            return ("\(error)", "")
        }
    }

    @Test(arguments: [
        (#"{"volume": {"slice": 3}}"#, "volume.slice"),
        (#"{"volume": {"slices": 0}}"#, "volume.slices"),
        (#"{"volume": {"tokens": 0}}"#, "volume.tokens"),
        (#"{"volume": {"tokens": 65}}"#, "volume.tokens"),
        (#"{"volume": {"slices": 2, "tokens": 192}}"#, "volume.tokens"),
        (#"{"volume": {"heads": 5}}"#, "volume.heads"),
        (#"{"volume": {"position": "learned", "positionUnit": "millimetres"}}"#, "volume.positionUnit"),
        (#"{"volume": {"position": "none", "positionUnit": "millimetres"}}"#, "volume.positionUnit"),
        (#"{"volume": {"choice": "best"}}"#, "volume.choice"),
    ])
    func `settings that contradict each other are errors that name the field`(json: String, field: String) {
        #expect(problem(json)?.field == field)
    }

    @Test func `settings are written as they are read, and left out where there are none`() throws {
        let volume = VolumeConfiguration(
            slices: 9,
            choice: .content,
            jitter: true,
            tokens: 128,
            positionUnit: .millimetres,
            heads: 4
        )
        var configuration = UniMedConfiguration(volume: volume)
        let encoded = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(UniMedConfiguration.self, from: encoded) == configuration)
        configuration.volume = nil
        #expect(!String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self).contains("volume"))
        let json = #"{"volume": {"slices": 16, "choice": "content", "tokens": 64}}"#
        let decoded = try JSONDecoder().decode(UniMedConfiguration.self, from: Data(json.utf8))
        #expect(decoded.volume == VolumeConfiguration(choice: .content, tokens: 64))
    }

    // MARK: Constraint

    @Test func `every box of six numbers can be said, and nothing else`() throws {
        let tokenizer = ByteTokenizer()
        for style in NormalizedBox.Style.allCases {
            let constraint = BoxConstraint(try TokenTexts(tokenizer), style: style, isVolume: true)
            func isAccepted(_ text: String) throws -> Bool {
                var state: Int? = constraint.start
                for token in try tokenizer.encode(text) {
                    guard let present = state,
                        constraint.allowedTokens(in: present, remaining: .max).contains(token)
                    else { return false }
                    state = constraint.state(after: token, in: present)
                }
                return state.map(constraint.isAccepting) ?? false
            }
            let flat = NormalizedBox(xMin: 1, yMin: 2, xMax: 30, yMax: 40)
            for (z0, z1) in [(0, 1), (0, 100), (99, 100), (7, 42), (7, 7), (8, 7), (100, 100)] {
                let box = NormalizedBox3D(box: flat, zMin: z0, zMax: z1)
                #expect(try isAccepted(box.text(style)) == (z0 < z1), "\(box.text(style))")
            }
            let empty = NormalizedBox3D(box: NormalizedBox(xMin: 1, yMin: 2, xMax: 1, yMax: 3), zMin: 0, zMax: 1)
            #expect(try !isAccepted(empty.text(style)))
            #expect(try !isAccepted(flat.text(style)))
            // {<0><0><1><1><0><1>}
            #expect(constraint.completion(of: constraint.start) == (style == .paper ? 18 : 20))
        }
    }
}
