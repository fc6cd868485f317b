// A program that does nothing: it owns the precompiled headers of the tests.
int main() {}
