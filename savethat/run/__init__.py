"""What a run is: its key, its launch, its marks and the law that reads its status.

Pure: nothing here does I/O or reads a clock. Times are aware UTC datetimes, ages are seconds.
"""
