import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting
import UniMedTokenizers
import UniMedTraining

/// Models in and out: what others wrote becomes a model's folder, and a model's folder becomes what others read.
extension DefaultGeneratorTests {
    @Suite("Import and export")
    struct ModelExchangeTests {
        /// W x + B A x and (W + B A) x are the same sums in another order, here of logits up to 1 in float32.
        private static let mergedTolerance = 5e-5

        // MARK: Made files

        /// The files of others, small: a language model with its tokenizer, a vision transformer, trained weights.
        private final class Sources {
            let folder: TemporaryFolder
            let configuration: UniMedConfiguration
            let model: UniMed
            let tokenizer: LlamaTokenizer

            var language: URL { folder.file("language") }
            var vision: URL { folder.file("vision.safetensors") }
            var published: URL { folder.file("published.safetensors") }
            var adapter: URL { folder.file("adapter") }

            init(adapter: LowRankConfiguration = LowRankConfiguration(rank: 2, alpha: 6, dropout: 0)) throws {
                folder = try TemporaryFolder()
                let texts = (0..<60).map { "Is the \($0). organ bright? It is \($0 * 7 % 13)." }
                let pieces = try SentencePieceTrainer.train(texts: texts, vocabularySize: 500, acceptsFewerPieces: true)
                tokenizer = try LlamaTokenizer(model: SentencePieceTokenizer(model: pieces), padPiece: nil)
                var configuration = TinyModel.configuration(fineTuning: .lowRank(adapter))
                configuration.language.vocabularySize = tokenizer.vocabularySize + 3
                self.configuration = configuration
                model = try TinyModel.make(configuration, seed: 11)

                for url in [language, self.adapter] {
                    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
                }
                let plain = try Llama(configuration.language)
                try plain.load(
                    TensorWeights(
                        model.language.namedParameters().filter { !LowRankAdapter.owns($0.name) }
                            .map { (name: $0.name, tensor: try $0.parameter.value.detach()) }
                    )
                )
                let tokens = SpecialTokens(begin: tokenizer.bosID, end: [tokenizer.eosID])
                try HuggingFaceFolder.write(plain, to: language, tokens: tokens, maximumShardSize: 20_000)
                try pieces.write(to: language.appendingPathComponent("tokenizer.model"))
                try SafetensorsFile.write(
                    model.vision.namedParameters().map { ($0.name, $0.parameter.value) },
                    to: vision
                )
                try SafetensorsFile.write(model.publishedWeights(), to: published)
                try #require(try PEFTAdapter(of: model.language)).write(to: self.adapter)
            }

            func job() -> ModelImport { ModelImport(name: "tiny", language: language, model: configuration) }
        }

        private func expectEqual(
            _ own: any Module,
            _ other: any Module,
            except: String? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let (own, other) = (own.namedParameters(), other.namedParameters())
            #expect(own.map(\.name) == other.map(\.name), sourceLocation: sourceLocation)
            for (a, b) in zip(own, other) where except.map({ !a.name.hasPrefix($0) }) ?? true {
                let isEqual = try a.parameter.value.detach().isEqual(to: b.parameter.value.detach())
                #expect(isEqual, "\(a.name)", sourceLocation: sourceLocation)
            }
        }

        private func logits(_ model: Llama) throws -> Tensor {
            try withoutGradients {
                let tokens = try Tensor([1, 5, 7, 39, 0, 3] as [Int])
                let layout = try SequenceLayout(lengths: [4, 2])
                return try model.logits(model.hiddenStates(of: model.embedding(tokens), layout: layout))
            }
        }

        // MARK: Import

        @Test func `every part comes from its file, bit by bit`() throws {
            let sources = try Sources()
            var job = sources.job()
            (job.vision, job.published) = (sources.vision, sources.published)
            let folder = sources.folder.file("model")
            let report = try job.run(to: folder)
            #expect(report.parameterCount == sources.model.parameterCount())
            #expect(report.trainedCount == sources.model.parameterCount(trainableOnly: true))
            #expect(report.parts["vision"] == sources.vision.path)
            let checkpoint = try ModelCheckpoint.load(from: folder)
            // The published file leaves the norm after the vision transformer out: it is 1 and 0.
            try expectEqual(checkpoint.model, sources.model, except: "ln_vision.")
            #expect(
                try checkpoint.model.visionNorm.namedParameters()[0].parameter.value.array()
                    == [Float](repeating: 1, count: 12)
            )
            #expect(checkpoint.configuration.name == "tiny")
            #expect(checkpoint.configuration.model == sources.configuration)
            #expect(try checkpoint.tokenizer.encode("Is it?") == sources.tokenizer.encode("Is it?"))
        }

        @Test func `what has no file is drawn from the seed`() throws {
            let sources = try Sources()
            func weights(seed: UInt64, _ name: String) throws -> SafetensorsFile {
                var job = sources.job()
                job.seed = seed
                let folder = sources.folder.file(name)
                let report = try job.run(to: folder)
                #expect(report.parts["connector"] == "drawn" && report.parts["vision"] == "drawn")
                return try SafetensorsFile(contentsOf: folder.appendingPathComponent("model.safetensors"))
            }
            let (a, b, c) = (try weights(seed: 1, "a"), try weights(seed: 1, "b"), try weights(seed: 2, "c"))
            #expect(try CheckpointComparison(a, b).isIdentical)
            let different = try CheckpointComparison(a, c).values.map(\.key)
            #expect(different.contains { $0.hasPrefix("connector.") })
            #expect(different.contains { $0.hasPrefix("visual_encoder.") })
            #expect(different.contains { $0.hasSuffix("lora_A.weight") })
            #expect(!different.contains { $0.hasPrefix("llm.") && !$0.contains("lora") })
            // A new adapter changes nothing.
            let up = try a.tensor(named: "llm.model.layers.0.mlp.up_proj.lora_B.weight")
            #expect(try up.abs().maximum().item() == 0)
        }

        @Test func `frozen weights keep the type of their file`() throws {
            let sources = try Sources()
            let half = sources.folder.file("half")
            try FileManager.default.createDirectory(at: half, withIntermediateDirectories: true)
            for name in ["config.json", "tokenizer.model"] {
                try FileManager.default.copyItem(
                    at: sources.language.appendingPathComponent(name),
                    to: half.appendingPathComponent(name)
                )
            }
            try ShardedSafetensors.write(Checkpoint.open(sources.language).converted(to: .float16), to: half)
            var job = sources.job()
            job.language = half
            (job.vision, job.precision) = (sources.vision, .bfloat16)
            let folder = sources.folder.file("model")
            _ = try job.run(to: folder)
            let file = try SafetensorsFile(contentsOf: folder.appendingPathComponent("model.safetensors"))
            #expect(try file.dtype(of: "llm.lm_head.weight") == .float16)
            #expect(try file.dtype(of: "llm.model.layers.0.mlp.up_proj.lora_A.weight") == .float32)
            #expect(try file.dtype(of: "visual_encoder.pos_embed") == .float32)
            let loaded = try ModelCheckpoint.load(from: folder)
            #expect(loaded.model.language.embedding.weight.value.dtype == .bfloat16)
        }

        @Test func `an adapter is kept beside the model or merged into it`() throws {
            let sources = try Sources()
            var job = sources.job()
            job.model.fineTuning = .frozen
            job.adapter = sources.adapter
            let kept = sources.folder.file("kept")
            _ = try job.run(to: kept)
            let own = try ModelCheckpoint.load(from: kept)
            #expect(own.configuration.model.fineTuning == sources.configuration.fineTuning)
            try expectEqual(own.model.language, sources.model.language)
            job.mergesAdapter = true
            let merged = sources.folder.file("merged")
            _ = try job.run(to: merged)
            let plain = try ModelCheckpoint.load(from: merged)
            #expect(plain.configuration.model.fineTuning == .frozen)
            try expectClose(
                logits(plain.model.language),
                logits(own.model.language),
                tolerance: Self.mergedTolerance,
                "merged"
            )
        }

        @Test func `an adapter that differs between layers can only be merged`() throws {
            let sources = try Sources()
            var adapter = try PEFTAdapter(folder: sources.adapter)
            var configuration = adapter.configuration
            configuration.alphas = [.init(pattern: "up_proj", value: 1)]
            adapter = PEFTAdapter(configuration: configuration, weights: adapter.weights)
            let uneven = sources.folder.file("uneven")
            try FileManager.default.createDirectory(at: uneven, withIntermediateDirectories: true)
            try adapter.write(to: uneven)
            var job = sources.job()
            job.adapter = uneven
            let folder = sources.folder.file("model")
            let error = try #require(throws: TrainingError.self) { try job.run(to: folder) }
            #expect(error.kind == .checkpoint && error.file == uneven.path && error.problem.contains("merged"))
            #expect(!FileManager.default.fileExists(atPath: folder.path))
            job.mergesAdapter = true
            _ = try job.run(to: folder)
        }

        @Test func `settings that contradict each other, and folders that are taken, are refused`() throws {
            let sources = try Sources()
            func refusal(_ change: (inout ModelImport) -> Void) throws -> TrainingError {
                var job = sources.job()
                change(&job)
                let folder = sources.folder.file("refused")
                let error = try #require(throws: TrainingError.self) { try job.run(to: folder) }
                #expect(!FileManager.default.fileExists(atPath: folder.path))
                return error
            }
            let both = try refusal { ($0.published, $0.adapter) = (sources.published, sources.adapter) }
            #expect(both.kind == .recipe && both.field == "adapter")
            #expect(try refusal { $0.mergesAdapter = true }.field == "mergesAdapter")
            #expect(try refusal { $0.language = sources.adapter }.kind == .tokenizer)
            #expect(try refusal { $0.vision = sources.published }.kind == .checkpoint)
            #expect(try refusal { $0.published = sources.vision }.problem.contains("missing"))
            let taken = try #require(throws: TrainingError.self) { try sources.job().run(to: sources.adapter) }
            #expect(taken.kind == .fileSystem && taken.file == sources.adapter.path)
        }

        // MARK: A recipe's weights

        @Test func `a recipe's model has the rows of its checkpoint, also those beyond the tokenizer`() throws {
            let sources = try Sources()
            var recipe = Recipe.tiny(pretraining: false)
            recipe.model = sources.configuration
            recipe.weights.language = "language"
            let run = try TrainingRun(
                recipe: recipe,
                recipeFolder: sources.folder.url,
                folder: sources.folder.file("run")
            )
            let model = try run.makeModel(tokenizer: sources.tokenizer)
            #expect(model.configuration.language.vocabularySize == sources.tokenizer.vocabularySize + 3)
            let stored = sources.model.language.embedding.weight.value
            #expect(try model.language.embedding.weight.value.detach().isEqual(to: stored.detach()))
        }

        @Test func `a tokenizer larger than the checkpoint's table is an error`() throws {
            let sources = try Sources()
            var recipe = Recipe.tiny(pretraining: false)
            recipe.model = sources.configuration
            recipe.weights.language = "small.safetensors"
            var small = sources.configuration.language
            small.vocabularySize = sources.tokenizer.vocabularySize - 1
            try SafetensorsFile.write(
                Llama(small).namedParameters().map { ($0.name, $0.parameter.value) },
                to: sources.folder.file("small.safetensors")
            )
            let run = try TrainingRun(
                recipe: recipe,
                recipeFolder: sources.folder.url,
                folder: sources.folder.file("run")
            )
            #expect {
                try run.makeModel(tokenizer: sources.tokenizer)
            } throws: { error in
                (error as? TrainingError)?.kind == .tokenizer
            }
        }

        // MARK: Export

        @Test func `every form is read back as the model it came from`() throws {
            let sources = try Sources()
            var job = sources.job()
            (job.vision, job.published) = (sources.vision, sources.published)
            let folder = sources.folder.file("model")
            _ = try job.run(to: folder)
            let expected = try logits(sources.model.language)

            // PEFT, beside the language model that it was made for.
            let adapter = sources.folder.file("out-adapter")
            var export = ModelExport(format: .peft)
            export.baseModel = "base"
            let report = try export.run(folder, to: adapter)
            #expect(report.files == ["adapter_config.json", "adapter_model.safetensors"])
            #expect(report.byteCount > 1000)
            let adapted = try Llama.load(folder: sources.language)
            try adapted.loadAdapter(folder: adapter)
            #expect(try logits(adapted).isEqual(to: expected))

            // Merged.
            let merged = sources.folder.file("out-merged")
            export = ModelExport(format: .huggingFace)
            export.maximumShardSize = 20_000
            let files = try export.run(folder, to: merged).files
            #expect(Set(files) == Set(names(in: merged)))
            for name in ["config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json"] {
                #expect(files.contains(name), "\(name)")
            }
            try expectClose(logits(Llama.load(folder: merged)), expected, tolerance: Self.mergedTolerance, "merged")
            let settings = try TokenizerForm.open(merged, convention: .configured)
            #expect(try settings.encode("Is it?") == sources.tokenizer.encode("Is it?"))

            // Weights, with the library's own names and with the published ones.
            for isMerged in [false, true] {
                let own = sources.folder.file("out-own-\(isMerged)")
                export = ModelExport(format: .safetensors)
                export.mergesAdapter = isMerged
                _ = try export.run(folder, to: own)
                let comparison = try CheckpointComparison(
                    SafetensorsFile(contentsOf: folder.appendingPathComponent("model.safetensors")),
                    Checkpoint.open(own)
                )
                #expect(comparison.isIdentical == !isMerged)
                #expect(comparison.onlyInSecond.isEmpty)
                #expect(comparison.onlyInFirst.allSatisfy { $0.contains(".lora_") })
            }
            let published = sources.folder.file("out-published")
            export = ModelExport(format: .safetensors)
            export.names = .published
            _ = try export.run(folder, to: published)
            #expect(
                try CheckpointComparison(Checkpoint.open(sources.published), Checkpoint.open(published)).isIdentical
            )
        }

        @Test func `reference logits are those of the model`() throws {
            let sources = try Sources()
            var job = sources.job()
            job.adapter = sources.adapter
            let folder = sources.folder.file("model")
            _ = try job.run(to: folder)
            let file = sources.folder.file("logits.safetensors")
            try ModelExport.writeReferenceLogits(of: folder, to: file)
            let numbers = try SafetensorsFile(contentsOf: file)
            let ids = try numbers.tensor(named: "input_ids")
            #expect(ids.shape == [2, 12] && ids.dtype == .int64)
            let layout = try SequenceLayout(lengths: [12, 12])
            let own = try withoutGradients {
                let hidden = try sources.model.language.hiddenStates(
                    of: sources.model.language.embedding(ids.reshape(-1)),
                    layout: layout
                )
                return try sources.model.language.logits(hidden)
            }
            try expectClose(
                numbers.tensor(named: "logits").reshape(24, -1),
                own,
                tolerance: 1e-5,
                "reference logits"
            )
        }

        @Test func `what does not go with a form is refused`() throws {
            let sources = try Sources()
            var job = sources.job()
            job.model.fineTuning = .full
            let folder = sources.folder.file("model")
            _ = try job.run(to: folder)
            func refusal(
                _ format: ModelExport.Format,
                _ change: (inout ModelExport) -> Void = { _ in }
            ) throws -> TrainingError {
                var export = ModelExport(format: format)
                change(&export)
                let target = sources.folder.file("refused")
                let error = try #require(throws: TrainingError.self) { try export.run(folder, to: target) }
                #expect(!FileManager.default.fileExists(atPath: target.path))
                #expect(error.kind == .recipe)
                return error
            }
            #expect(try refusal(.peft).problem.contains("no adapter"))
            #expect(try refusal(.peft) { $0.names = .published }.field == "names")
            #expect(try refusal(.huggingFace) { $0.mergesAdapter = true }.field == "merged")
            #expect(try refusal(.huggingFace) { $0.baseModel = "x" }.field == "baseModel")
            #expect(
                try refusal(.safetensors) { ($0.names, $0.mergesAdapter) = (.published, true) }.field == "merged"
            )
            #expect(try refusal(.safetensors) { $0.dtype = .int8 }.field == "dtype")
            #expect(try refusal(.safetensors) { $0.maximumShardSize = 0 }.field == "maximumShardSize")
        }

        // MARK: Published files

        private static let full = GoldenCase.named("full")
        private static let tokenizer = Roots.files(named: "tokenizer.model", below: Roots.data)
            .first { (try? SentencePieceTokenizer(contentsOf: $0).vocabularySize) == 32_000 }

        @Test(
            .enabled(if: !full.isEmpty, "there is no full case under UNIMED_GOLDEN"),
            .enabled(if: tokenizer != nil, "there is no tokenizer of Llama 2 under UNIMED_DATA"),
            arguments: full
        )
        func `the published training checkpoint goes in and out bit by bit`(golden: GoldenCase) throws {
            struct Manifest: Decodable {
                struct Configuration: Decodable {
                    struct Vision: Decodable {
                        let patch_size, embed_dim, depth, num_heads: Int
                        let weights: String
                    }
                    struct Language: Decodable { let checkpoint: String }
                    let vision: Vision
                    let llm: Language
                }
                let config: Configuration
            }
            let manifest = try golden.decode(Manifest.self).config
            let folder = try TemporaryFolder()
            var job = ModelImport(name: "published", language: golden.file(manifest.llm.checkpoint))
            job.tokenizer = Self.tokenizer
            let weights = manifest.vision.weights.split(separator: " ")[0]
            job.vision = golden.file(String(weights))
            job.published = golden.file("checkpoint_0.pth")
            job.model.vision.patchSize = manifest.vision.patch_size
            job.model.vision.hiddenSize = manifest.vision.embed_dim
            job.model.vision.layerCount = manifest.vision.depth
            job.model.vision.headCount = manifest.vision.num_heads
            let target = folder.file("model")
            _ = try job.run(to: target)

            // What the shapes do not say comes from the checkpoint's own settings.
            let configuration = try ModelCheckpoint.configuration(of: target).model
            #expect(configuration.vision.imageSize == 56)
            #expect(configuration.connector == ConnectorConfiguration(expertCount: 5, taskTokenSize: 96))
            #expect(configuration.resampler == .projection(rate: 4))
            #expect(configuration.fineTuning == .lowRank(LowRankConfiguration(rank: 8, alpha: 16)))

            var export = ModelExport(format: .safetensors)
            export.names = .published
            let out = folder.file("published")
            _ = try export.run(target, to: out)
            let original = try PyTorchFile(contentsOf: golden.file("checkpoint_0.pth")).weights(at: ["model"])
            let comparison = try CheckpointComparison(Checkpoint.open(out), original)
            #expect(comparison.onlyInFirst.isEmpty && comparison.shapes.isEmpty)
            #expect(comparison.types.isEmpty && comparison.values.isEmpty)
            // The file has the experts a second time, and rotary frequencies.
            #expect(
                comparison.onlyInSecond.allSatisfy { $0.hasPrefix("llm_proj.") || $0.hasSuffix("rotary_emb.inv_freq") }
            )
            #expect(comparison.identicalCount > 50)
            // The language model is as it was, in its own type.
            let stored = try SafetensorsFile(contentsOf: target.appendingPathComponent("model.safetensors"))
            let language = try Checkpoint.open(golden.file(manifest.llm.checkpoint))
            for key in language.keys where !key.hasSuffix("inv_freq") {
                #expect(try stored.dtype(of: "llm." + key) == language.dtype(of: key))
                #expect(try stored.tensor(named: "llm." + key).isEqual(to: language.tensor(named: key)), "\(key)")
            }
        }
    }
}
