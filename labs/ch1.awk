# make ch1: is the table of labs/ch1.txt true? It is asked of the demo itself:
#   ./mail demo --plain | awk -f labs/ch1.awk - labs/ch1.txt

function agent(protocol) { return protocol == "POP3" ? "maa" : "mta" }

# SESSION. SMTP, first use: push: Alice -> mail.a. Client Alice, server mail.a.
FNR == NR && /^SESSION/ {
    conn++
    protocol = tolower($2)
    sub(/[,:]$/, "", protocol)
    match($0, /Client .*, server .*\.$/)
    split(substr($0, RSTART + 7, RLENGTH - 8), name, ", server ")
    for (i = 1; i <= 2; i++)
        truth[conn, tolower(name[i])] = agent(toupper(protocol)) " " \
            (i == 1 ? "client" : "server") " " protocol
    if (name[2] == "mail.b") server[agent(toupper(protocol))] = 1
    next
}
FNR == NR && match($0, /TCP port [0-9]+/) {
    port[conn] = substr($0, RSTART + 9, RLENGTH - 9)
}
FNR == NR || /^ *#/ || NF == 0 { next }

{ $0 = tolower($0) }
$1 == "mail.b" {
    gsub(/server|and|mail\.b|[ ,]+/, " ")
    ask = $1 != $2 && ($1 in server) && ($2 in server)
    printf "  the two servers of mail.b %s\n", ask ? "right" : "wrong"
    right += ask
    next
}
{
    wrong = ""
    key = $1 SUBSEP $2
    if (/[?]/) wrong = " not filled in yet"
    else if (!(key in truth)) wrong = " computer"
    else if (key in seen) wrong = " (twice)"
    else {
        split(truth[key], t, " ")
        if ($3 != t[1]) wrong = wrong " agent"
        if ($4 != t[2]) wrong = wrong " side"
        if ($5 != t[3]) wrong = wrong " protocol"
        if ($6 != port[$1]) wrong = wrong " port"
    }
    seen[key] = 1
    rows++
    printf "  row %d: %s\n", rows, wrong == "" ? "right" : "wrong:" wrong
    right += wrong == ""
}
END {
    if (conn != 3) { print "the demo says nothing: make"; exit 1 }
    printf "ch 1  who is who  %d of 7\n", right
    exit right != 7
}
