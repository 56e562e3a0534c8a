import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// What the manifest of an `eva_vit` case says.
struct VisionManifest: Decodable {
    struct Configuration: Decodable {
        let imageSize: Int
        let patchSize: Int
        let hiddenSize: Int
        let layerCount: Int
        let headCount: Int
        let mlpRatio: Double

        enum CodingKeys: String, CodingKey {
            case imageSize = "image_size"
            case patchSize = "patch_size"
            case hiddenSize = "embed_dim"
            case layerCount = "depth"
            case headCount = "num_heads"
            case mlpRatio = "mlp_ratio"
        }

        var vision: VisionConfiguration {
            VisionConfiguration(
                imageSize: imageSize,
                patchSize: patchSize,
                hiddenSize: hiddenSize,
                layerCount: layerCount,
                headCount: headCount,
                mlpRatio: mlpRatio
            )
        }
    }

    /// A file is described by a table or by a sentence.
    enum File: Decodable {
        struct Weights: Decodable {
            let grid: Int?
            let ignored: [String]?

            enum CodingKeys: String, CodingKey {
                case grid = "grid_in_file"
                case ignored = "ignored_keys"
            }
        }

        case weights(Weights)
        case text

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            self = if let weights = try? container.decode(Weights.self) { .weights(weights) } else { .text }
        }
    }

    let config: Configuration
    let files: [String: File]

    /// The weight files with the grid of their position embeddings and what is dropped, where it is said.
    var weights: [(name: String, grid: Int, ignored: [String]?)] {
        files.compactMap { name, file in
            if case .weights(let weights) = file, let grid = weights.grid { (name, grid, weights.ignored) } else { nil }
        }.sorted { $0.name < $1.name }
    }
}

@Suite("Parity: EVA vision transformer")
struct VisionParityTests {
    static let cases = GoldenCase.named("eva_vit")

    /// A whole model around the case's vision transformer; the rest is as small as can be.
    private func model(_ golden: GoldenCase, _ manifest: VisionManifest) throws -> UniMed {
        let model = try UniMed(
            UniMedConfiguration(
                vision: manifest.config.vision,
                resampler: .projection(rate: 1),
                language: LlamaConfiguration(
                    vocabularySize: 8,
                    hiddenSize: 8,
                    intermediateSize: 8,
                    layerCount: 1,
                    headCount: 1
                )
            )
        )
        let state = try golden.tensors("expected_state.safetensors")
        try model.visionNorm.weight.load(state("ln_vision.weight"))
        try model.visionNorm.bias.load(state("ln_vision.bias"))
        return model
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no eva_vit case under UNIMED_GOLDEN"), arguments: cases)
    func `weights of a checkpoint arrive as the published loader leaves them`(golden: GoldenCase) throws {
        let manifest = try golden.decode(VisionManifest.self)
        let grid = manifest.config.vision.gridSize
        #expect(!manifest.weights.isEmpty)
        let comparison = Comparison(golden, "\(golden.name) loading")
        for file in manifest.weights {
            let vision = try VisionTransformer(manifest.config.vision)
            let report = try vision.load(Checkpoint.open(golden.file(file.name)))
            #expect(report.missing.isEmpty)
            if let ignored = file.ignored { #expect(report.dropped.sorted() == ignored.sorted()) }
            let state = try golden.tensors("expected_state.safetensors")
            let parameters = vision.namedParameters()
            #expect(
                Set(parameters.map { "visual_encoder." + $0.name })
                    == Set(state.names.filter { $0.hasPrefix("visual_encoder.") })
            )
            for (name, parameter) in parameters {
                if name == "pos_embed", file.grid != grid {
                    let expected = try golden.tensors("interpolated.safetensors")("pos_embed_expected")
                    try comparison.close(parameter.value, expected, "pos_embed_expected")
                } else {
                    // Float16 becomes float32 without rounding.
                    let expected = try state("visual_encoder." + name)
                    try expectClose(parameter.value, expected, tolerance: 0, "\(file.name) \(name)")
                }
            }
        }
        print(comparison.summary)
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no eva_vit case under UNIMED_GOLDEN"), arguments: cases)
    func `activations are the published model's after every part`(golden: GoldenCase) throws {
        let manifest = try golden.decode(VisionManifest.self)
        let comparison = Comparison(golden)
        for file in manifest.weights {
            let model = try model(golden, manifest)
            try model.vision.load(Checkpoint.open(golden.file(file.name)))
            let io = try golden.tensors("io.safetensors")
            let image = try io("image")
            try withoutGradients {
                guard file.grid == manifest.config.vision.gridSize else {
                    let expected = try golden.tensors("interpolated.safetensors")
                    try comparison.close(
                        model.vision.embed(image),
                        expected("embeddings"),
                        "interpolated.embeddings"
                    )
                    try comparison.close(
                        model.visionNorm(model.vision(image)),
                        expected("ln_vision"),
                        "interpolated.ln_vision"
                    )
                    return
                }
                try comparison.close(model.vision.embedPatches(image), io("patch_embed"), "patch_embed")
                try comparison.close(model.vision.embed(image), io("embeddings"), "embeddings")
                var outputs: [Tensor] = []
                let last = try model.vision(image) { _, output in outputs.append(output) }
                #expect(outputs.count == manifest.config.layerCount)
                for (index, output) in outputs.enumerated() {
                    try comparison.close(output, io("block.\(index)"), "block.\(index)")
                }
                try comparison.close(model.visionNorm(last), io("ln_vision"), "ln_vision")
                try comparison.close(model.encodeImages(image), io("features"), "features")
                let branches = try model.vision.residualBranches(ofBlock: 0, io("embeddings"))
                try comparison.close(branches.attention, io("block.0.attn_out"), "block.0.attn_out")
                try comparison.close(branches.mlp, io("block.0.mlp_out"), "block.0.mlp_out")
                let probe = try io("eps_probe.in")
                try comparison.close(model.vision.runBlock(0, probe), io("eps_probe.block0"), "eps_probe.block0")
                try comparison.close(model.visionNorm(probe), io("eps_probe.ln_vision"), "eps_probe.ln_vision")
            }
        }
        print(comparison.summary)
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no eva_vit case under UNIMED_GOLDEN"), arguments: cases)
    func `position embeddings are interpolated between any grids`(golden: GoldenCase) throws {
        let pairs = try golden.tensors("pos_interp.safetensors")
        let comparison = Comparison(golden, "\(golden.name) interpolation")
        let names = pairs.names.filter { $0.hasPrefix("in.") }.map { String($0.dropFirst(3)) }
        #expect(!names.isEmpty)
        for name in names {
            let grid = try #require(name.split(separator: "to").last.flatMap { Int($0) })
            let result = try VisionTransformer.interpolatePositions(pairs("in." + name), toGrid: grid)
            try comparison.close(result, pairs("out." + name), name, group: "pos_interp.out")
        }
        print(comparison.summary)
    }
}
