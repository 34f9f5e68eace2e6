"""The C extension; everything else about the project is in pyproject.toml."""

from setuptools import Extension, setup

SOURCES = (
    "provider",
    "key",
    "keymgmt",
    "signature",
    "decoder",
    "keyref",
    "parameter",
    "libssl",
    "stream",
    "engine",
)
HEADERS = ("provider", "keyref", "parameter", "openssl_abi", "guard", "hook", "libssl", "stream")

# Not -Wpedantic: the slots of CPython types hold functions in data pointers. The provider itself
# keeps it: its test builds it so.
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion")
HARDENING = (
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=2",
)

setup(
    ext_modules=[
        Extension(
            "offload.provider._native",
            sources=[f"offload/provider/{name}.c" for name in SOURCES],
            depends=[f"offload/provider/{name}.h" for name in HEADERS],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-std=c11", "-O2", *WARNINGS, *HARDENING],
            extra_link_args=["-Wl,-z,relro", "-Wl,-z,noexecstack"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
