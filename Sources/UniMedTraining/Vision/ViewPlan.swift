import Foundation
package import UniMedData

/// Which views there are of which picture, and where their features stand.
///
/// Rows `0 ..< images` are the pictures as they are; then follow, view by view, the augmented pictures. A view depends on
/// the seed, the picture's position and the view's number alone.
package struct ViewPlan: Sendable {
    /// The number of pictures.
    package let imageCount: Int
    /// The number of views of a picture that has any, the picture itself included.
    package let viewCount: Int
    /// The augmented pictures, ascending.
    package let augmented: [Int]
    private let rank: [Int]
    private let augmentations: [AugmentationConfiguration?]
    private let seed: UInt64

    /// Plans views of the training pictures of the data sets that have an augmentation.
    ///
    /// Slices of volumes have none, since those of one volume would have to be changed alike.
    package init(_ data: PreparedData, recipe: DataConfiguration, views: Int, seed: UInt64) {
        let bySet = Dictionary(
            recipe.sets.compactMap { set in set.augmentation.map { (set.dataset, $0) } },
            uniquingKeysWith: { first, _ in first }
        )
        var augmentations = [AugmentationConfiguration?](repeating: nil, count: data.images.count)
        let slices = Set(
            data.samples.filter { $0.image?.volume != nil }.flatMap { data.images.positions(of: $0) ?? [] }
        )
        func note(_ dataset: String, _ path: String?, _ split: Split) {
            guard split == .train, let path, let augmentation = bySet[dataset],
                let position = data.images.position(dataset: dataset, path: path), !slices.contains(position)
            else { return }
            augmentations[position] = augmentations[position] ?? augmentation
        }
        for annotation in data.annotations { note(annotation.dataset, annotation.image.path, annotation.split) }
        for sample in data.samples { note(sample.dataset, sample.image?.path, sample.split) }
        self.init(augmentations: augmentations, views: views, seed: seed)
    }

    package init(augmentations: [AugmentationConfiguration?], views: Int, seed: UInt64) {
        self.augmentations = augmentations
        self.seed = SeededGenerator.derivedSeed(from: seed, label: "views")
        imageCount = augmentations.count
        viewCount = views
        augmented = views > 1 ? augmentations.indices.filter { augmentations[$0] != nil } : []
        var rank = [Int](repeating: -1, count: augmentations.count)
        for (number, position) in augmented.enumerated() { rank[position] = number }
        self.rank = rank
    }

    /// How views of a picture are made; `nil` for one that has none.
    package func augmentation(of position: Int) -> AugmentationConfiguration? { augmentations[position] }

    /// The number of rows of features.
    package var rowCount: Int { imageCount + (viewCount - 1) * augmented.count }

    /// The number of views of a picture.
    package func viewCount(of position: Int) -> Int { rank[position] < 0 ? 1 : viewCount }

    /// The row of a view's features.
    package func row(of position: Int, view: Int) -> Int {
        precondition(view >= 0 && view < viewCount(of: position), "view \(view) of picture \(position)")
        return view == 0 ? position : imageCount + (view - 1) * augmented.count + rank[position]
    }

    /// The picture and the view of a row.
    package func view(atRow row: Int) -> (position: Int, view: ImageView) {
        guard row >= imageCount else { return (row, .identity) }
        let (view, number) = (row - imageCount).quotientAndRemainder(dividingBy: max(augmented.count, 1))
        let position = augmented[number]
        return (position, self.view(of: position, index: view + 1))
    }

    /// A view of a picture; the first is the picture itself.
    package func view(of position: Int, index: Int) -> ImageView {
        guard index > 0, let augmentation = augmentations[position] else { return .identity }
        var generator = SeededGenerator.derived(from: seed, label: "picture \(position) view \(index)")
        return ImageView.drawn(augmentation, for: .answers(index: index), &generator)
    }

    /// What the rows depend on besides the pictures.
    package func update(_ hash: inout SHA256) {
        hash.update("views \(viewCount) seed \(seed)")
        guard viewCount > 1 else { return }
        hash.update("noise of each row")
        for position in augmented {
            guard let augmentation = augmentations[position] else { continue }
            hash.update("\(position) \(augmentation)")
        }
    }
}
