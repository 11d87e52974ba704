//! The `snap` command. What it does is the library's (`avro_snap`); what it says and how it is asked is in `cli`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
