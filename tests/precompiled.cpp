// Nothing: CMake precompiles headers for a source that takes them, which main.cpp does not.
