/// A volume: slices of one size, stacked along the direction in which they were taken, and their place in the patient.
public struct ImageVolume: Sendable, Equatable {
    /// The number of slices.
    public let slices: Int
    /// The height of a slice in pixels.
    public let rows: Int
    /// The width of a slice in pixels.
    public let columns: Int
    /// `slices * rows * columns` values, a slice after the other, each by rows from the top.
    ///
    /// In the units of the modality where the file says how to reach them (Hounsfield units of a CT).
    public var values: [Float]
    /// The patient coordinates in millimetres (right, anterior, superior) of a voxel: three rows of four numbers that
    /// multiply `(column, row, slice, 1)`.
    public var affine: [[Double]]

    /// Makes a volume from its values.
    ///
    /// - Precondition: `values` holds `slices * rows * columns` numbers and `affine` is 3 by 4.
    public init(slices: Int, rows: Int, columns: Int, values: [Float], affine: [[Double]]) {
        precondition(values.count == slices * rows * columns, "a volume holds a value for each voxel")
        precondition(affine.count == 3 && affine.allSatisfy { $0.count == 4 }, "an affine map has 3 rows of 4 numbers")
        self.slices = slices
        self.rows = rows
        self.columns = columns
        self.values = values
        self.affine = affine
    }

    /// The distances in millimetres between the centres of neighbouring columns, rows and slices.
    public var spacing: (column: Double, row: Double, slice: Double) {
        func length(_ axis: Int) -> Double {
            (affine[0][axis] * affine[0][axis] + affine[1][axis] * affine[1][axis] + affine[2][axis] * affine[2][axis])
                .squareRoot()
        }
        return (length(0), length(1), length(2))
    }
}
