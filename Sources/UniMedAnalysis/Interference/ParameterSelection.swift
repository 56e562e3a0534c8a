public import TorchNN
import UniMedData
public import UniMedModel
import UniMedTraining

/// Which parameters of a model are looked at together.
///
/// | in words | what | sets |
/// |---|---|---|
/// | `connector` | all of the connector | 1 |
/// | `router` | its router and task tokens | 1 |
/// | `experts` | its projection experts, one by one | `N` |
/// | `lora` | the language model's adapters, layer by layer | one for each layer |
/// | `language` | all that is trained of the language model | 1 |
/// | `name=pattern` | parameters whose names fit, `*` for any characters and `\|` between alternatives | 1 |
public enum ParameterSelection: Sendable, Equatable {
    case connector
    case router
    case experts
    case adapters
    case language
    case named(String, NamePattern)

    /// Reads a selection; `nil` for a word that is none.
    public init?(_ text: String) {
        switch text {
        case "connector": self = .connector
        case "router": self = .router
        case "experts": self = .experts
        case "lora": self = .adapters
        case "language": self = .language
        default:
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else { return nil }
            self = .named(parts[0], NamePattern(parts[1]))
        }
    }

    /// The selection as ``init(_:)`` reads it.
    public var text: String {
        switch self {
        case .connector: "connector"
        case .router: "router"
        case .experts: "experts"
        case .adapters: "lora"
        case .language: "language"
        case .named(let name, let pattern): "\(name)=\(pattern)"
        }
    }

    /// The sets of several selections, and the parameters they are made of.
    ///
    /// Weights that are frozen have no gradient and belong to no set.
    ///
    /// - Throws: ``AnalysisError`` of kind `request` when a selection has no trained parameter in the model.
    public static func resolve(
        _ selections: [ParameterSelection],
        in model: UniMed
    ) throws(AnalysisError) -> (sets: [ParameterSet], parameters: [(name: String, parameter: Parameter)]) {
        let trained = model.trainableParameters()
        var positions: [String: Int] = [:]
        var parameters: [(name: String, parameter: Parameter)] = []
        func piece(_ entry: (name: String, parameter: Parameter), _ slice: ParameterSet.Slice? = nil)
            -> ParameterSet.Piece
        {
            if positions[entry.name] == nil {
                positions[entry.name] = parameters.count
                parameters.append(entry)
            }
            return ParameterSet.Piece(parameter: positions[entry.name] ?? 0, slice: slice)
        }
        var sets: [ParameterSet] = []
        for selection in selections {
            var found: [ParameterSet] = []
            switch selection {
            case .connector: found = [set("connector", trained, piece) { $0.hasPrefix("connector.") }]
            case .router:
                found = [
                    set("router", trained, piece) {
                        $0.hasPrefix("connector.router.") || $0.hasPrefix("connector.task_tokens.")
                    }
                ]
            case .experts: found = experts(of: model, trained, piece)
            case .adapters: found = adapters(trained, piece)
            case .language: found = [set("language", trained, piece) { $0.hasPrefix("llm.") }]
            case .named(let name, let pattern): found = [set(name, trained, piece) { pattern.matches($0) }]
            }
            found.removeAll { $0.pieces.isEmpty }
            guard !found.isEmpty else {
                throw AnalysisError(
                    .request,
                    "expected trained parameters of the model, there are none; it trains "
                        + "\(trained.prefix(3).map(\.name).joined(separator: ", ")) and others",
                    field: selection.text
                )
            }
            sets += found
        }
        if let twice = Dictionary(grouping: sets, by: \.name).first(where: { $1.count > 1 }) {
            throw AnalysisError(.request, "the set is there twice", field: twice.key)
        }
        return (sets, parameters)
    }

    private typealias Entry = (name: String, parameter: Parameter)

    private static func set(
        _ name: String,
        _ trained: [Entry],
        _ piece: (Entry, ParameterSet.Slice?) -> ParameterSet.Piece,
        _ belongs: (String) -> Bool
    ) -> ParameterSet {
        ParameterSet(name: name, pieces: trained.filter { belongs($0.name) }.map { piece($0, nil) })
    }

    private static func experts(
        of model: UniMed,
        _ trained: [Entry],
        _ piece: (Entry, ParameterSet.Slice?) -> ParameterSet.Piece
    ) -> [ParameterSet] {
        guard let experts = (model.connector as? ConnectorMoE)?.experts else { return [] }
        let prefix = "connector.experts."
        return (0..<experts.expertCount).map { expert in
            var set = ParameterSet(name: "expert \(expert + 1)", pieces: [])
            for entry in trained where entry.name.hasPrefix(prefix) {
                guard let dimension = experts.expertDimensions[String(entry.name.dropFirst(prefix.count))] else {
                    continue
                }
                let length = entry.parameter.value.size(dimension) / experts.expertCount
                set.pieces.append(
                    piece(entry, .init(dimension: dimension, start: expert * length, length: length))
                )
            }
            return set
        }
    }

    private static func adapters(
        _ trained: [Entry],
        _ piece: (Entry, ParameterSet.Slice?) -> ParameterSet.Piece
    ) -> [ParameterSet] {
        var sets: [ParameterSet] = []
        for entry in trained where entry.name.hasPrefix("llm.") && entry.name.contains("lora_") {
            let parts = entry.name.split(separator: ".")
            let number = parts.firstIndex(of: "layers").flatMap {
                parts.indices.contains($0 + 1) ? Int(parts[$0 + 1]) : nil
            }
            let name = number.map { "LoRA layer \($0)" } ?? "LoRA elsewhere"
            if let index = sets.firstIndex(where: { $0.name == name }) {
                sets[index].pieces.append(piece(entry, nil))
            } else {
                sets.append(ParameterSet(name: name, pieces: [piece(entry, nil)]))
            }
        }
        return sets
    }
}
