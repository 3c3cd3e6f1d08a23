# Read by every project() of llama-cpp-python's build: only what its server needs, and soon compiled rather than fast.
set(CMAKE_C_FLAGS_RELEASE "-O0")
set(CMAKE_CXX_FLAGS_RELEASE "-O0")
set(LLAMA_ALL_WARNINGS OFF)

# The command line tools with what they share, and images.
set(LLAMA_BUILD_COMMON OFF)
set(LLAVA_BUILD OFF)

# Kernels for this processor or another: weights of 64 columns need none, and the result runs everywhere.
set(GGML_NATIVE OFF)
set(GGML_OPENMP OFF)
set(GGML_LLAMAFILE OFF)
set(GGML_CPU_REPACK OFF)
foreach(extension SSE42 AVX AVX2 BMI2 FMA F16C)
    set(GGML_${extension} OFF)
endforeach()
