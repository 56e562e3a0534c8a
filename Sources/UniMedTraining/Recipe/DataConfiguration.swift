public import Foundation
public import UniMedData
import UniMedModel

/// The data of a recipe.
public struct DataConfiguration: Codable, Sendable, Equatable {
    /// The folder that the data sets' paths are relative to, itself relative to the recipe's; `nil` is the recipe's.
    public var root: String?
    /// The data sets, in the order in which they are imported.
    public var sets: [DatasetConfiguration]
    /// The width and height at which pictures are kept, in pixels.
    ///
    /// Default: 224.
    public var imageSize: Int
    /// How often each task is drawn.
    ///
    /// Default: in proportion to its samples (Uni-Med, section 4.1).
    public var rates: TaskRates
    /// How samples are drawn within a task.
    ///
    /// Default: every sample is as likely as any other.
    public var balance: SampleBalance
    /// What becomes of things in the data sets that are at fault.
    ///
    /// Default: they are skipped and counted.
    public var faults: FaultPolicy

    enum CodingKeys: String, CodingKey, CaseIterable {
        case root, sets, imageSize, rates, balance, faults
    }

    /// Makes a configuration.
    public init(
        root: String? = nil,
        sets: [DatasetConfiguration],
        imageSize: Int = 224,
        rates: TaskRates = .proportional,
        balance: SampleBalance = .samples,
        faults: FaultPolicy = .skip
    ) {
        self.root = root
        self.sets = sets
        self.imageSize = imageSize
        self.rates = rates
        self.balance = balance
        self.faults = faults
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        root = try container.decodeIfPresent(String.self, forKey: .root)
        sets = try container.decode([DatasetConfiguration].self, forKey: .sets)
        imageSize = try container.decode(.imageSize, default: 224)
        rates = try container.decode(.rates, default: CodableTaskRates(.proportional)).value
        balance = try container.decode(.balance, default: .samples)
        faults = try container.decode(.faults, default: .skip)
        try container.require(!sets.isEmpty, .sets, "names no data set")
        let names = sets.map(\.dataset)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            try container.require(false, .sets, "the data set '\(twice)' is there twice; give one of them another name")
        }
        try container.require((8...4096).contains(imageSize), .imageSize, "expected 8...4096, found \(imageSize)")
    }

    /// Writes the configuration.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(root, forKey: .root)
        try container.encode(sets, forKey: .sets)
        try container.encode(imageSize, forKey: .imageSize)
        try container.encode(CodableTaskRates(rates), forKey: .rates)
        try container.encode(balance, forKey: .balance)
        try container.encode(faults, forKey: .faults)
    }
}

extension DataConfiguration {
    /// The folder of a data set.
    ///
    /// - Parameters:
    ///   - set: One of ``sets``.
    ///   - recipeFolder: The folder that holds the recipe.
    ///   - override: Takes the place of ``root``.
    /// - Returns: `nil` for phantoms, which have none.
    public func folder(of set: DatasetConfiguration, recipeFolder: URL, root override: URL? = nil) -> URL? {
        func resolve(_ path: String, in folder: URL) -> URL {
            path.hasPrefix("/") ? URL(fileURLWithPath: path) : folder.appendingPathComponent(path).standardizedFileURL
        }
        let base = override ?? root.map { resolve($0, in: recipeFolder) } ?? recipeFolder
        return set.path.map { resolve($0, in: base) }
    }
}

/// How samples are drawn within a task.
public enum SampleBalance: String, Codable, Sendable, CaseIterable {
    /// Every sample is as likely as any other; each comes once before any comes again.
    case samples
    /// Every kind of question (and, where objects are named, every name) is as likely as any other.
    case kinds
}

/// One data set of a recipe.
public struct DatasetConfiguration: Codable, Sendable, Equatable {
    /// The importer's name, for example `medpix`; `phantoms` and `volume-phantoms` make their data instead of reading them.
    public var importer: String
    /// The folder, relative to the recipe's unless it is absolute; `nil` for `phantoms`.
    public var path: String?
    /// The data set's name in the samples; `nil` is the importer's.
    public var name: String?
    /// The part of the groups that becomes the validation split where the data set names none.
    ///
    /// Default: 0.2.
    public var validationFraction: Double
    /// The part of the groups that becomes the test split where the data set names none.
    ///
    /// Default: 0.
    public var testFraction: Double
    /// The seed of the split, and of phantoms; `nil` is the recipe's.
    public var seed: UInt64?
    /// Other words for the names of objects, by the name in the data set.
    public var objectNames: [String: String]
    /// Settings of the importer alone, by name, for example `labelColumn: dx`.
    public var settings: [String: String]
    /// The number of studies, for phantoms.
    public var count: Int?
    /// How views of its training pictures are made; `nil` makes none.
    public var augmentation: AugmentationConfiguration?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case importer, path, name, validationFraction, testFraction, seed, objectNames, settings, count
        case augmentation
    }

    /// The name of the generator of synthetic studies.
    public static let phantoms = "phantoms"
    /// The name of the generator of synthetic volumes.
    public static let volumePhantoms = "volume-phantoms"

    /// Whether the data are made instead of read.
    public var isMade: Bool { importer == Self.phantoms || importer == Self.volumePhantoms }

    /// Makes a configuration.
    public init(
        importer: String,
        path: String? = nil,
        name: String? = nil,
        validationFraction: Double = 0.2,
        testFraction: Double = 0,
        seed: UInt64? = nil,
        objectNames: [String: String] = [:],
        settings: [String: String] = [:],
        count: Int? = nil,
        augmentation: AugmentationConfiguration? = nil
    ) {
        self.importer = importer
        self.path = path
        self.name = name
        self.validationFraction = validationFraction
        self.testFraction = testFraction
        self.seed = seed
        self.objectNames = objectNames
        self.settings = settings
        self.count = count
        self.augmentation = augmentation
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        importer = try container.decode(String.self, forKey: .importer)
        path = try container.decodeIfPresent(String.self, forKey: .path)
        name = try container.decodeIfPresent(String.self, forKey: .name)
        validationFraction = try container.decode(.validationFraction, default: 0.2)
        testFraction = try container.decode(.testFraction, default: 0)
        seed = try container.decodeIfPresent(UInt64.self, forKey: .seed)
        objectNames = try container.decode(.objectNames, default: [:])
        settings = try container.decode(.settings, default: [:])
        count = try container.decodeIfPresent(Int.self, forKey: .count)
        augmentation = try container.decodeIfPresent(AugmentationConfiguration.self, forKey: .augmentation)
        if isMade {
            try container.require(path == nil, .path, "phantoms are made, not read: they have no folder")
            try container.require(settings.isEmpty, .settings, "phantoms are made, not read: they have no importer")
        } else {
            try container.require(path != nil, .path, "missing: the importer \(importer) reads a folder")
            try container.require(count == nil, .count, "only phantoms are made in any number")
        }
        if let count { try container.require(count > 0, .count, "must be positive, found \(count)") }
        for (key, value) in [(CodingKeys.validationFraction, validationFraction), (.testFraction, testFraction)] {
            try container.require((0...1).contains(value), key, "expected 0...1, found \(value)")
        }
        try container.require(
            validationFraction + testFraction <= 1,
            .testFraction,
            "together with validationFraction it is more than 1"
        )
    }

    /// The data set's name in the samples.
    public var dataset: String { name ?? importer }
}

/// How views of a data set's training pictures are made.
///
/// A view is a crop of random size, shape and position, turned and mirrored, with random contrast. Boxes are carried into
/// the view; a sample whose answer a view would change never uses it.
public struct AugmentationConfiguration: Codable, Sendable, Equatable {
    /// The mirrorings and turns after which the samples' answers still hold.
    public enum Symmetry: String, Codable, Sendable, CaseIterable {
        /// None: left and right, or the plane, are asked for.
        case none
        /// Left may become right.
        case horizontal
        /// All eight symmetries of the square, as under a microscope.
        case square
    }

    /// The mirrorings and turns after which answers still hold.
    ///
    /// Default: none.
    public var symmetry: Symmetry
    /// The smallest part of the picture's area that a crop shows.
    ///
    /// Default: 0.35.
    public var minimumArea: Double
    /// The largest rotation to either side, in degrees.
    ///
    /// Default: 15.
    public var rotation: Double
    /// How far views that keep boxes and answers go between the whole picture (0) and the crops of pretraining (1).
    ///
    /// Default: 0.6.
    public var strength: Double
    /// The largest change of each colour's brightness, as a share.
    ///
    /// Default: 0, for grey pictures.
    public var colorCast: Double

    /// Whether vision pretraining mirrors left and right also where answers would not hold.
    ///
    /// Default: true.
    public var mirrorsInPretraining: Bool

    enum CodingKeys: String, CodingKey, CaseIterable {
        case symmetry, minimumArea, rotation, strength, colorCast, mirrorsInPretraining
    }

    /// Makes a configuration.
    public init(
        symmetry: Symmetry = .none,
        minimumArea: Double = 0.35,
        rotation: Double = 15,
        strength: Double = 0.6,
        colorCast: Double = 0,
        mirrorsInPretraining: Bool = true
    ) {
        self.symmetry = symmetry
        self.minimumArea = minimumArea
        self.rotation = rotation
        self.strength = strength
        self.colorCast = colorCast
        self.mirrorsInPretraining = mirrorsInPretraining
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = AugmentationConfiguration()
        symmetry = try container.decode(.symmetry, default: defaults.symmetry)
        minimumArea = try container.decode(.minimumArea, default: defaults.minimumArea)
        rotation = try container.decode(.rotation, default: defaults.rotation)
        strength = try container.decode(.strength, default: defaults.strength)
        colorCast = try container.decode(.colorCast, default: defaults.colorCast)
        mirrorsInPretraining = try container.decode(.mirrorsInPretraining, default: true)
        try container.require(minimumArea > 0 && minimumArea <= 1, .minimumArea, "expected 0...1, found \(minimumArea)")
        try container.require((0...180).contains(rotation), .rotation, "expected 0...180 degrees, found \(rotation)")
        try container.require((0...1).contains(strength), .strength, "expected 0...1, found \(strength)")
        try container.require((0...1).contains(colorCast), .colorCast, "expected 0...1, found \(colorCast)")
    }
}

/// Task rates as a recipe writes them: `proportional`, `{temperature: 2}`, or a mapping from short codes to rates.
struct CodableTaskRates: Codable {
    let value: TaskRates

    init(_ value: TaskRates) { self.value = value }

    init(from decoder: any Decoder) throws {
        if let name = try? decoder.singleValueContainer().decode(String.self) {
            guard name == "proportional" else {
                throw DecodingError.dataCorrupted(
                    DecodingError.Context(
                        codingPath: decoder.codingPath,
                        debugDescription: "expected proportional, {temperature: …} or a rate per task, found '\(name)'"
                    )
                )
            }
            value = .proportional
            return
        }
        let container = try decoder.container(keyedBy: AnyKey.self)
        let temperature = AnyKey("temperature")
        if container.contains(temperature) {
            try decoder.rejectUnknownKeys(["temperature"])
            let number = try container.decode(Double.self, forKey: temperature)
            try container.require(number > 0 && number.isFinite, temperature, "must be positive, found \(number)")
            value = .temperature(number)
            return
        }
        try decoder.rejectUnknownKeys(MedicalTask.allCases.map(\.rawValue))
        var rates: [MedicalTask: Double] = [:]
        for task in MedicalTask.allCases {
            let key = AnyKey(task.rawValue)
            guard let rate = try container.decodeIfPresent(Double.self, forKey: key) else { continue }
            try container.require(rate >= 0 && rate.isFinite, key, "expected 0 or a positive number, found \(rate)")
            rates[task] = rate
        }
        guard rates.values.contains(where: { $0 > 0 }) else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "no task has a positive rate")
            )
        }
        value = .explicit(rates)
    }

    func encode(to encoder: any Encoder) throws {
        switch value {
        case .proportional:
            var container = encoder.singleValueContainer()
            try container.encode("proportional")
        case .temperature(let temperature):
            var container = encoder.container(keyedBy: AnyKey.self)
            try container.encode(temperature, forKey: AnyKey("temperature"))
        case .explicit(let rates):
            var container = encoder.container(keyedBy: AnyKey.self)
            for task in MedicalTask.allCases {
                if let rate = rates[task] { try container.encode(rate, forKey: AnyKey(task.rawValue)) }
            }
        }
    }
}
