public import Foundation

/// How logs and pages show names that may identify patients: files, samples, patients, cases and studies.
///
/// Unless they are asked for, names are shown as salted hashes: the same name is the same hash, so that what belongs
/// together can be seen to, and a hash cannot be traced to a name by whoever does not hold the data. The folders of files
/// are not shown either.
public struct PrivateNames: Sendable {
    /// Whether names are shown as they are.
    public let areShown: Bool
    private let salt: String

    /// Says how names are shown.
    ///
    /// - Parameters:
    ///   - salt: What the hashes depend on beside the names: something that only who holds the data knows, such as the
    ///     content key of prepared data.
    ///   - areShown: Whether names are shown as they are.
    public init(salt: String, areShown: Bool = false) {
        self.salt = salt
        self.areShown = areShown
    }

    /// A name of something in a data set.
    ///
    /// - Parameter name: The name; where it is `data set/name` the data set's name stays.
    /// - Returns: The name, or `#` and twelve hexadecimal digits behind the data set's name.
    public func text(of name: String) -> String {
        guard !areShown else { return name }
        guard let slash = name.firstIndex(of: "/") else { return hash(name) }
        return name[...slash] + hash(name[name.index(after: slash)...])
    }

    /// A name that belongs to no data set's name, such as a group.
    public func hash(_ name: some StringProtocol) -> String {
        guard !areShown else { return String(name) }
        var hash = SHA256()
        hash.update(salt)
        hash.update(String(name))
        return "#" + hash.hexDigest().prefix(12)
    }

    /// A file: its path, or its name alone.
    public func text(of url: URL) -> String { areShown ? url.path : url.lastPathComponent }
}

extension DataFinding {
    /// The finding with its subject as it may be shown.
    public func showing(_ names: PrivateNames) -> DataFinding {
        var finding = self
        switch kind {
        // The file is one of the prepared folder and named after nobody.
        case .damagedFile: finding.subject = names.text(of: URL(fileURLWithPath: subject))
        // These name a data set or the manifest alone.
        case .wrongCount, .unbalancedReport: break
        default: finding.subject = names.text(of: subject)
        }
        return finding
    }
}
