import Foundation
import Testing
import Torch
import TorchNN
import UniMedModel
import UniMedTraining

/// The rows of the paper's tables 2 and 5 as recipes: what a row varies, written down here a second time.
@Suite("The paper's recipes")
struct PaperRecipeTests {
    private static let paper = UniMedConfiguration()
    private static let mlp = ConnectorConfiguration.mlp(layerCount: 2)
    private static let hard = ConnectorConfiguration(expertCount: 5, router: .hard(by: .task))
    private static let tokenOnly = ConnectorConfiguration(
        expertCount: 5,
        router: .soft(network: RouterNetworkConfiguration(inputs: [.imageToken]))
    )
    private static let mixture = FineTuning.lowRankExperts(
        LowRankExpertsConfiguration(rank: 4, alpha: 8, expertCount: 5, router: .sparse(topK: 2))
    )

    private static func paper(_ change: (inout UniMedConfiguration) -> Void) -> UniMedConfiguration {
        var configuration = paper
        change(&configuration)
        return configuration
    }

    private static func connector(_ connector: ConnectorConfiguration) -> UniMedConfiguration {
        paper { $0.connector = connector }
    }

    /// Every row: the recipe's name and the model it has.
    private static let rows: [String: UniMedConfiguration] = {
        var rows = [
            "table-2-a-linear": connector(.linear),
            "table-2-a-mlp": connector(mlp),
            "table-2-a-cmoe-constant": connector(ConnectorConfiguration(expertCount: 5, router: .constant)),
            "table-2-a-cmoe-hard": connector(hard),
            "table-2-a-cmoe-sparse-token": connector(
                ConnectorConfiguration(
                    expertCount: 5,
                    router: .sparse(topK: 2, network: RouterNetworkConfiguration(inputs: [.imageToken]))
                )
            ),
            "table-2-a-cmoe-soft-token": connector(tokenOnly),
            "table-2-a-cmoe-soft-task": connector(
                ConnectorConfiguration(
                    expertCount: 5,
                    router: .soft(network: RouterNetworkConfiguration(inputs: [.taskToken]))
                )
            ),
            "table-2-a-cmoe-soft-token-and-task": paper,
            "table-2-b-rate-1": paper { $0.resampler = .projection(rate: 1) },
            "table-2-b-rate-2-projection": paper { $0.resampler = .projection(rate: 2) },
            "table-2-b-rate-4-max-pooling": paper { $0.resampler = .maxPooling(side: 2) },
            "table-2-b-rate-4-average-pooling": paper { $0.resampler = .averagePooling(side: 2) },
            "table-2-b-rate-4-projection": paper,
            "table-2-e-lora-mlp": paper {
                $0.connector = mlp
                $0.fineTuning = .lowRank(LowRankConfiguration(rank: 4))
            },
            "table-2-e-lora-moe-mlp": paper {
                $0.connector = mlp
                $0.fineTuning = mixture
            },
            "table-2-e-lora-moe-cmoe-hard": paper {
                $0.connector = hard
                $0.fineTuning = mixture
            },
            "table-2-e-lora-moe-cmoe-soft": paper { $0.fineTuning = mixture },
            "table-5-mlp": paper {
                $0.connector = mlp
                $0.taskIdentifiers = false
            },
            "table-5-cmoe": paper {
                $0.connector = tokenOnly
                $0.taskIdentifiers = false
            },
            "table-5-cmoe-vision-level": paper { $0.taskIdentifiers = false },
            "table-5-cmoe-text-level": connector(tokenOnly),
            "table-5-cmoe-text-and-vision-level": paper,
        ]
        for count in [3, 5, 8, 10, 16] {
            rows["table-2-c-experts-\(count)"] = connector(ConnectorConfiguration(expertCount: count))
        }
        for rank in [4, 8, 16, 32, 64] {
            for (name, connector) in [("mlp", mlp), ("cmoe-hard", hard), ("cmoe-soft", paper.connector)] {
                rows["table-2-d-rank-\(rank)-\(name)"] = paper {
                    $0.connector = connector
                    $0.fineTuning = .lowRank(LowRankConfiguration(rank: rank))
                }
            }
        }
        return rows
    }()

    private static let recipes = RecipeTests.repository.appendingPathComponent("Recipes")

    /// Every recipe of a folder of `Recipes`, by its name.
    private func recipes(in folder: String) throws -> [String: Recipe] {
        let url = Self.recipes.appendingPathComponent(folder)
        var recipes: [String: Recipe] = [:]
        for file in names(in: url) where file.hasSuffix(".yaml") {
            let recipe = try Recipe.load(contentsOf: url.appendingPathComponent(file))
            #expect(recipe.name == "\(url.lastPathComponent)-\(file.dropLast(5))")
            #expect(try Recipe.parse(recipe.yaml()) == recipe, "\(file)")
            recipes[recipe.name] = recipe
        }
        return recipes
    }

    @Test func `every row of tables 2 and 5 is there, and is the paper's model but for what the row varies`() throws {
        let recipes = try recipes(in: "paper/table-2").merging(recipes(in: "paper/table-5")) { $1 }
        #expect(Set(recipes.keys) == Set(Self.rows.keys))
        #expect(recipes.count == 37 + 5)
        let base = try Recipe.load(contentsOf: Self.recipes.appendingPathComponent("uni-med.yaml"))
        for (name, recipe) in recipes {
            #expect(recipe.model == Self.rows[name], "\(name)")
            // Nothing else differs but the way to the files.
            #expect(recipe.training == base.training && recipe.evaluation == base.evaluation, "\(name)")
            #expect(recipe.seed == base.seed && recipe.precision == base.precision && recipe.device == base.device)
            #expect(recipe.data.sets == base.data.sets && recipe.data.rates == base.data.rates, "\(name)")
            let folder = Self.recipes.appendingPathComponent("paper/table-2").standardizedFileURL
            for set in recipe.data.sets {
                let place = recipe.data.folder(of: set, recipeFolder: folder)?.path
                #expect(place == base.data.folder(of: set, recipeFolder: Self.recipes)?.path, "\(name)")
            }
            #expect(recipe.weights.language?.hasPrefix("../../../weights/") == true, "\(name)")
        }
    }

    @Test func `the model of every recipe can be made`() throws {
        var models: [String: UniMedConfiguration] = [:]
        for file in names(in: Self.recipes) where file.hasSuffix(".yaml") {
            let recipe = try Recipe.load(contentsOf: Self.recipes.appendingPathComponent(file))
            models[recipe.name] = recipe.model
        }
        for folder in ["paper/table-2", "paper/table-5"] {
            for (name, recipe) in try recipes(in: folder) { models[name] = recipe.model }
        }
        #expect(models.count >= 45)
        for (name, configuration) in models {
            let model = try UniMed(configuration, builder: WeightBuilder(device: .meta))
            let weights = model.namedParameters()
            #expect(weights.allSatisfy { $0.parameter.value.device == .meta }, "\(name)")
            #expect(weights.contains { $0.name.hasPrefix("connector.") && $0.parameter.isTrainable }, "\(name)")
            #expect(model.vision.trainableParameters().isEmpty, "\(name)")
        }
    }
}
