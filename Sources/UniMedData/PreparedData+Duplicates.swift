/// What may count as the same picture.
public struct DuplicateOptions: Codable, Sendable, Equatable {
    /// The most bits in which the perceptual hashes of near duplicates differ, from 0 to 8.
    public var hashDistance: Int
    /// The largest mean difference of near duplicates in grey, at 16 by 16 values, in levels of 255.
    ///
    /// Pictures of the same organ have hashes that are near to each other; this tells them from the same picture.
    public var meanDifference: Double

    /// Makes options.
    ///
    /// - Precondition: `hashDistance` is in 0 to 8 and `meanDifference` is not negative.
    public init(hashDistance: Int = 3, meanDifference: Double = 3) {
        precondition((0...8).contains(hashDistance), "the hash distance is 0 to 8 bits")
        precondition(meanDifference >= 0, "the mean difference is not negative")
        self.hashDistance = hashDistance
        self.meanDifference = meanDifference
    }
}

/// The pictures of prepared data that occur more than once, and what is in more than one split.
public struct DuplicateReport: Codable, Sendable, Equatable {
    /// How pictures are the same.
    public enum Likeness: String, Codable, Sendable, CaseIterable {
        /// Every prepared pixel is the same.
        case equal
        /// The perceptual hashes are near and the pictures look alike.
        case near
    }

    /// Image files that show the same.
    public struct Cluster: Codable, Sendable, Equatable {
        /// How they are the same; near when not all are equal.
        public var likeness: Likeness
        /// The files as `data set/path`, sorted.
        public var images: [String]
        /// The splits of the samples that ask about them, in the order of ``Split``.
        public var splits: [Split]
    }

    /// Something that is in more than one split.
    public struct Leak: Codable, Sendable, Equatable {
        /// What it is.
        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// A picture, equal in every pixel.
            case equalPicture
            /// A picture that looks the same.
            case nearPicture
            /// A patient, case or study.
            case group
        }

        /// What it is.
        public var kind: Kind
        /// The image files or the group, as `data set/name`.
        public var subjects: [String]
        /// The splits, in the order of ``Split``.
        public var splits: [Split]
    }

    /// The number of different pictures that were compared.
    public var pictureCount: Int
    /// The clusters, ordered by their first image.
    public var clusters: [Cluster]
    /// The leaks: pictures in the order of the clusters, then groups by name.
    public var leaks: [Leak]

    /// The number of image files that are not the first of their cluster.
    public var surplusCount: Int { clusters.reduce(0) { $0 + $1.images.count - 1 } }

    /// The number of leaks of a kind.
    public func leakCount(_ kind: Leak.Kind) -> Int { leaks.count { $0.kind == kind } }

    /// The counts, and on request what is counted, as plain text.
    ///
    /// - Parameter names: Whether images and groups are named. Names may be identifiers of patients.
    /// - Returns: Lines of text, each ended by a newline.
    public func text(names: Bool = false) -> String {
        let equal = clusters.filter { $0.likeness == .equal }
        var text =
            "\(pictureCount) different pictures; the same picture in several files: \(equal.count) times equal, "
            + "\(clusters.count - equal.count) times near, \(surplusCount) files more than needed\n"
        text +=
            "leaks between splits: \(leakCount(.equalPicture)) equal pictures, \(leakCount(.nearPicture)) near pictures, "
            + "\(leakCount(.group)) groups\n"
        guard names else { return text }
        for leak in leaks {
            let splits = leak.splits.map(\.rawValue).joined(separator: " and ")
            text += "    \(leak.kind.rawValue) in \(splits): \(leak.subjects.joined(separator: ", "))\n"
        }
        return text
    }
}

extension PreparedData {
    /// Finds pictures that are the same, and pictures and groups that are in more than one split.
    ///
    /// A volume is the same as another when all of its slices are, in order; single slices are not compared. Each picture
    /// is read once; 140,000 of them need about 200 MiB and no comparison of each with each.
    ///
    /// - Parameter options: What counts as the same picture.
    public func duplicates(options: DuplicateOptions = DuplicateOptions()) -> DuplicateReport {
        var splits: [String: Set<Split>] = [:]
        var groups: [String: Set<Split>] = [:]
        for sample in samples {
            if let image = sample.image { splits["\(sample.dataset)/\(image.path)", default: []].insert(sample.split) }
            if let group = sample.group { groups["\(sample.dataset)/\(group)", default: []].insert(sample.split) }
        }
        let roots = nearPictures(options)
        var clusters: [DuplicateReport.Cluster] = []
        var leaks: [DuplicateReport.Leak] = []
        for members in Dictionary(grouping: imageFiles, by: { $0.positions.map { roots[$0] } }).values
        where members.count > 1 {
            let names = members.map(\.name).sorted()
            let found = names.reduce(into: Set<Split>()) { $0.formUnion(splits[$1] ?? []) }
            let isEqual = Set(members.map(\.positions)).count == 1
            clusters.append(
                DuplicateReport.Cluster(likeness: isEqual ? .equal : .near, images: names, splits: found.ordered)
            )
        }
        clusters.sort { $0.images[0] < $1.images[0] }
        for cluster in clusters where cluster.splits.count > 1 {
            leaks.append(
                DuplicateReport.Leak(
                    kind: cluster.likeness == .equal ? .equalPicture : .nearPicture,
                    subjects: cluster.images,
                    splits: cluster.splits
                )
            )
        }
        for (name, found) in groups.sorted(by: { $0.key < $1.key }) where found.count > 1 {
            leaks.append(DuplicateReport.Leak(kind: .group, subjects: [name], splits: found.ordered))
        }
        return DuplicateReport(pictureCount: images.count, clusters: clusters, leaks: leaks)
    }

    /// Every image file with its picture, and every volume with its slices.
    private var imageFiles: [(name: String, positions: [Int])] {
        var known = Set(samples.filter { $0.image?.volume != nil }.map { "\($0.dataset)/\($0.image?.path ?? "")" })
        known.formUnion(annotations.filter { $0.image.volume != nil }.map { "\($0.dataset)/\($0.image.path)" })
        var volumes: [String: [(slice: Int, position: Int)]] = [:]
        var files: [(name: String, positions: [Int])] = []
        for file in images.files {
            if let (path, slice) = ImageReference.sliceParts(ofPath: file.path),
                known.contains("\(file.dataset)/\(path)")
            {
                volumes["\(file.dataset)/\(path)", default: []].append((slice, file.position))
            } else {
                files.append(("\(file.dataset)/\(file.path)", [file.position]))
            }
        }
        return files
            + volumes.sorted { $0.key < $1.key }.map { name, slices in
                (name, slices.sorted { $0.slice < $1.slice }.map(\.position))
            }
    }

    /// For each picture the first one that it is the same as, by way of others if need be.
    private func nearPictures(_ options: DuplicateOptions) -> [Int] {
        var hashes: [UInt64] = []
        var thumbnails: [GreyThumbnail] = []
        hashes.reserveCapacity(images.count)
        thumbnails.reserveCapacity(images.count)
        for position in 0..<images.count {
            images.withPixels(at: position) { pixels in
                hashes.append(PictureHash(pixels: pixels, size: images.size).bits)
                thumbnails.append(GreyThumbnail(pixels: pixels, size: images.size, side: 16))
            }
        }
        let means = thumbnails.map(\.mean)
        let limit = Float(options.meanDifference)
        var roots = Array(0..<images.count)
        func root(of index: Int) -> Int {
            var index = index
            while roots[index] != index {
                roots[index] = roots[roots[index]]
                index = roots[index]
            }
            return index
        }
        NearHashes(hashes, distance: options.hashDistance).forEachCandidates { candidates in
            // The means of pictures that look alike are near, so that even many equal hashes are compared with few.
            let sorted = candidates.sorted { (means[$0], $0) < (means[$1], $1) }
            for (rank, first) in sorted.enumerated() {
                for second in sorted[(rank + 1)...] {
                    if means[second] - means[first] > limit { break }
                    let (low, high) = (root(of: first), root(of: second))
                    guard low != high,
                        (hashes[first] ^ hashes[second]).nonzeroBitCount <= options.hashDistance,
                        thumbnails[first].difference(from: thumbnails[second]) <= limit
                    else { continue }
                    roots[max(low, high)] = min(low, high)
                }
            }
        }
        return roots.indices.map { root(of: $0) }
    }
}

extension Set<Split> {
    fileprivate var ordered: [Split] { Split.allCases.filter(contains) }
}
