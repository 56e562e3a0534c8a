/// What becomes of things that a data set holds and that are at fault.
public enum FaultPolicy: String, Codable, CaseIterable, Sendable {
    /// They are left out and counted with their reasons.
    case skip
    /// The first of them is an error; nothing is imported.
    case refuse
}
