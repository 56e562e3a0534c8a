public import UniMedData

public extension BoundingBox {
    /// How far a box reaches beyond its edges.
    enum Extent: String, Codable, Sendable, CaseIterable {
        /// From edge to edge: the ratio of areas of the paper (Uni-Med eq. 23).
        case continuous
        /// One pixel more in width and height, as the published evaluation code counts.
        case inclusivePixels

        var padding: Double { self == .continuous ? 0 : 1 }
    }

    /// The intersection over union with the annotated box of the same image.
    ///
    /// Uni-Med eq. 23. Both boxes are in pixels of the original image, origin at the top left.
    ///
    /// - Parameters:
    ///   - reference: The annotated box.
    ///   - extent: `.continuous` is the paper's ratio of areas; `.inclusivePixels` adds one pixel to every width and
    ///     height, as the published evaluation code does.
    /// - Returns: A ratio in `[0, 1]`, without unit; `1` only for equal boxes.
    /// - Throws: ``MetricError/emptyBox(_:)`` when a box has no area. An answer without a box scores `0` instead.
    func intersectionOverUnion(with reference: BoundingBox, extent: Extent) throws(MetricError) -> Double {
        let padding = extent.padding
        for box in [self, reference] {
            guard box.width + padding > 0, box.height + padding > 0, box.width.isFinite, box.height.isFinite else {
                throw .emptyBox(box)
            }
        }
        let width = min(xMax, reference.xMax) - max(xMin, reference.xMin) + padding
        let height = min(yMax, reference.yMax) - max(yMin, reference.yMin) + padding
        let intersection = max(0, width) * max(0, height)
        let area = (self.width + padding) * (self.height + padding)
        let referenceArea = (reference.width + padding) * (reference.height + padding)
        return intersection / (area + referenceArea - intersection)
    }

    /// The box as the published evaluation reads an annotation: left, top, width and height rounded to 32-bit floats.
    var throughSinglePrecision: BoundingBox {
        let left = Double(Float(xMin))
        let top = Double(Float(yMin))
        return BoundingBox(
            xMin: left,
            yMin: top,
            xMax: left + Double(Float(width)),
            yMax: top + Double(Float(height))
        )
    }
}

/// When a predicted box counts as found.
///
/// Uni-Med eq. 24; the mean over samples is the recall at 0.5.
public enum RecallAtHalf: String, Codable, Sendable, CaseIterable {
    /// An intersection over union of 0.5 counts, as in the paper.
    case atLeast
    /// An intersection over union of 0.5 does not count, as in the published code.
    case above

    /// Whether this intersection over union counts as found.
    public func isHit(_ intersectionOverUnion: Double) -> Bool {
        switch self {
        case .atLeast: intersectionOverUnion >= 0.5
        case .above: intersectionOverUnion > 0.5
        }
    }
}
