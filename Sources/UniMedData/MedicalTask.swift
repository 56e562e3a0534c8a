/// The six kinds of medical request that one model answers (Uni-Med, table 1).
///
/// The raw value is the short code used in records, recipes and on the command line. What a task asks and how it is
/// scored stands in its own file in `UniMedTasks`.
public enum MedicalTask: String, Codable, CaseIterable, Sendable, Hashable {
    case questionAnswering = "qa"
    case visualQuestionAnswering = "vqa"
    case reportGeneration = "rg"
    case referringExpressionComprehension = "rec"
    case referringExpressionGeneration = "reg"
    case imageClassification = "cls"

    /// The task's name in the prompt, without brackets: the text-level special task identifier (Uni-Med, table 1).
    public var identifier: String {
        switch self {
        case .questionAnswering: "qa"
        case .visualQuestionAnswering: "vqa"
        case .reportGeneration: "caption"
        case .referringExpressionComprehension: "refer"
        case .referringExpressionGeneration: "identify"
        case .imageClassification: "cls"
        }
    }

    /// The task identifier as it stands in the prompt, for example `[refer]`.
    public var promptTag: String { "[\(identifier)]" }

    /// Whether the task looks at an image; question answering alone does not.
    public var usesImage: Bool { self != .questionAnswering }
}
